"""The command line says what it can do, at once."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agentfleet.cli.launch import PROGRAMS
from agentfleet.cli.main import main

ROOT = Path(__file__).parents[3]
HEAVY = "anthropic, celery, fastapi, psycopg, pydantic, redis, rich, sqlalchemy, structlog"


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
        elif name not in PROGRAMS:  # those hand --help on to the program that they become
            found.append((*path, name))
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself_and_its_options(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage: ")
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    undocumented = [p.name for p in command.params if isinstance(p, click.Option) and not p.help and not p.show_default]
    assert undocumented == []


def test_every_process_kind_has_a_launcher() -> None:
    kinds = {path.stem for path in (ROOT / "workers").glob("*.py")} - {"__init__", "announce", "app", "loops"}
    assert {f"workers.{kind}" for kind in kinds} <= {module for module, _ in PROGRAMS.values()}


def test_help_needs_nothing_but_click() -> None:
    code = f"import sys, agentfleet.cli.main; print({{*'{HEAVY}'.split(', ')}} & {{*sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_a_launched_process_gets_its_arguments_and_finds_the_workers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agentfleet.cli.main", "sim", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--first-token-ms" in result.stdout
