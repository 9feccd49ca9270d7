from pathlib import Path

import pytest

from agentfleet.domain.errors import StepError
from agentfleet.domain.retry import RetryPolicy
from agentfleet.domain.states import RunEvent, RunState, StepEvent, StepState
from agentfleet.domain.verdicts import VERDICTS, Verdict
from agentfleet.settings import Settings
from scripts.generate_docs import DOCS, main


def test_generated_pages_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_stale_and_missing_pages_are_named_and_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    current = {page: page.read_bytes() for page in tmp_path.iterdir()}
    (tmp_path / "lifecycle.md").write_bytes(current[tmp_path / "lifecycle.md"] + b"\n")
    (tmp_path / "errors.md").unlink()
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    said = [f"docs/{name} is stale: run `make docs` and commit it" for name in ("errors.md", "lifecycle.md")]
    assert sorted(capsys.readouterr().out.splitlines()) == said
    assert main([], tmp_path) == 0
    assert {page: page.read_bytes() for page in tmp_path.iterdir()} == current


def test_an_unknown_argument_writes_nothing(tmp_path: Path) -> None:
    assert main(["--chekc"], tmp_path) == 2
    assert not any(tmp_path.iterdir())


def test_every_word_of_the_tables_is_on_its_page() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    for word in (*StepState, *StepEvent, *RunState, *RunEvent):
        assert f"| `{word}` |" in pages["lifecycle.md"]
    for word in (*Verdict, *(cls.__name__ for cls in VERDICTS)):
        assert f"| `{word}` |" in pages["errors.md"]
    for name in Settings.model_fields:
        assert f"`AGENTFLEET_{name.upper()}`" in pages["settings.md"]
    assert StepError.__name__ in pages["errors.md"]


def test_the_retry_curve_of_the_domain_is_the_default_of_the_settings() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert RetryPolicy() == RetryPolicy(defaults["max_attempts"], defaults["retry_base"], defaults["retry_cap"])
