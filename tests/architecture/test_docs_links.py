"""What the documentation names exists: pages, headings, settings, commands, imports, rows of the tables it copies."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import AliasChoices

from agentfleet import Agent
from agentfleet.cli.main import main as cli
from agentfleet.domain.settlement import EventType
from agentfleet.domain.verdicts import Verdict
from agentfleet.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = ROOT / "docs" / "guides"
NO_SETTINGS = {
    "AGENTFLEET_API_URL": "where clients of the API find it; the fleet does not read it",
    "AGENTFLEET_API_KEY": "what clients of the API send; the fleet knows digests only",
    "AGENTFLEET_TEST_DATABASE_URL": "the test suite's own",
    "AGENTFLEET_TEST_REDIS_URL": "the test suite's own",
}
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The fragments under which GitHub finds the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, fragment = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            yield link


def settings_named(text: str) -> set[str]:
    return set(re.findall(r"\bAGENTFLEET_[A-Z_]*[A-Z]\b", text))


def commands_named(text: str) -> set[str]:
    """The word behind `agentfleet` where a command stands: at the start of a code span or behind a shell's prompt."""
    return set(re.findall(r"(?:(?<!`)`|^\$ (?:\S*/)?)agentfleet ([a-z][a-z-]*)", text, re.MULTILINE))


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@every_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {f"AGENTFLEET_{name.upper()}" for name in Settings.model_fields} | NO_SETTINGS.keys()
    for field in Settings.model_fields.values():
        known |= set(field.validation_alias.choices) if isinstance(field.validation_alias, AliasChoices) else set()
    assert settings_named(page.read_text(encoding="utf-8")) - known == set()


@every_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    assert commands_named(page.read_text(encoding="utf-8")) - cli.commands.keys() == set()


@every_page
def test_what_examples_import_of_us_exists(page: Path) -> None:
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "agentfleet":
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")


def test_a_broken_name_of_each_kind_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `page`, here\n[gone](gone.md) [no heading](#gone) [good](#a-page-here) [web](https://example.com)\n"
    )
    assert list(broken_links(page)) == ["gone.md", "#gone"]
    assert settings_named("`AGENTFLEET_X_Y=1` and `AGENTFLEET_*`") == {"AGENTFLEET_X_Y"}
    shell = "```console\n$ .venv/bin/agentfleet two --x\n$ docker run agentfleet x\n```"
    assert commands_named(f"agentfleet makes\n`agentfleet one`\n{shell}") == {"one", "two"}


def test_the_tables_that_guides_copy_are_complete() -> None:
    api, agents, dead = (
        (GUIDES / f"{name}.md").read_text(encoding="utf-8") for name in ("api", "agents", "dead-letters")
    )
    for event in EventType:
        assert f"`{event}`" in api
    for field in fields(Agent):
        assert f"| `{field.name}` |" in agents
    for verdict in (Verdict.BACKOFF, Verdict.UNCLASSIFIED, Verdict.PERMANENT, Verdict.POISON, Verdict.UNKNOWN_EFFECT):
        assert f"| `{verdict}` |" in dead
