"""The simulator stands alone."""

import ast
from pathlib import Path

import agentfleet.simulator

NEEDED = {"orjson", "pydantic", "starlette", "uvicorn"}


def imported() -> set[str]:
    names: set[str] = set()
    for file in Path(agentfleet.simulator.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names.add(str(node.module))
    return names


def test_nothing_of_agentfleet_but_itself_is_imported() -> None:
    assert all(name.startswith("agentfleet.simulator") for name in imported() if name.startswith("agentfleet"))


def test_no_sdk_queue_or_database_is_imported() -> None:
    packages = {name.partition(".")[0] for name in imported()}
    assert not packages & {"anthropic", "celery", "kombu", "psycopg", "redis", "sqlalchemy"}
    assert packages >= NEEDED
