"""What is wrong is said in words, with what to do about it, and never with a traceback."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentfleet.cli.main import main
from agentfleet.dev.env import StackEnv

NOWHERE = "127.0.0.1:1"
"""Nobody listens on port 1."""


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without a stack, and an environment without settings."""
    for name in ("DATABASE_URL", "REDIS_URL", "AGENTS", "API_URL", "API_KEY", "PROVIDER_API_KEY", "PROVIDER_BASE_URL"):
        monkeypatch.delenv(f"AGENTFLEET_{name}", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def findings(**environment: str) -> dict[str, dict[str, str]]:
    result = call("doctor", "--json", **environment)
    document = json.loads(result.stdout)
    assert document["ok"] is (result.exit_code == 0)
    return {finding["check"]: finding for finding in document["findings"]}


def test_doctor_says_what_to_do_when_nothing_is_set() -> None:
    found = findings()
    assert {name for name, finding in found.items() if finding["level"] == "fail"} == {"database", "redis", "provider"}
    assert "AGENTFLEET_DATABASE_URL" in found["database"]["says"]
    assert "agentfleet dev" in found["database"]["do"]
    assert "ANTHROPIC_API_KEY" in found["provider"]["do"]
    assert found["agents"]["level"] == "warn"


def test_doctor_says_which_server_does_not_answer_without_its_password() -> None:
    text = call(
        "doctor",
        AGENTFLEET_DATABASE_URL=f"postgresql://u:hunter2@{NOWHERE}/db",
        AGENTFLEET_REDIS_URL=f"redis://:hunter2@{NOWHERE}/0",
    )
    assert text.exit_code == 1
    assert f"no connection to {NOWHERE}/db" in text.stdout
    assert f"no connection to {NOWHERE}/0" in text.stdout
    assert "hunter2" not in text.stdout


def test_doctor_names_both_settings_that_contradict_each_other() -> None:
    found = findings(AGENTFLEET_LEASE="3", AGENTFLEET_HEARTBEAT="2")
    assert found.keys() == {"settings"}
    assert "AGENTFLEET_LEASE (3 s)" in found["settings"]["says"]
    assert "AGENTFLEET_HEARTBEAT (2 s)" in found["settings"]["says"]


def test_doctor_names_the_module_that_cannot_be_imported() -> None:
    assert "'no.such.module'" in findings(AGENTFLEET_AGENTS="no.such.module")["agents"]["says"]


def test_doctor_names_what_a_broken_module_lacks(empty_directory: Path) -> None:
    (empty_directory / "lacking.py").write_text("import not_installed_here\n")
    assert "'not_installed_here', which is not installed" in findings(AGENTFLEET_AGENTS="lacking")["agents"]["says"]


def test_doctor_measures_the_limit_of_open_files_against_the_capacity() -> None:
    assert findings(AGENTFLEET_WORKER_CAPACITY="1")["open files"]["level"] == "ok"


def test_a_setting_that_is_not_valid_is_named_and_no_traceback_shown() -> None:
    result = call("dev", AGENTFLEET_PORT="http")
    assert result.exit_code == 1
    assert "AGENTFLEET_PORT: " in result.stderr
    assert "Traceback" not in result.output


def test_dev_names_a_module_that_is_not_there_before_it_starts_anything(empty_directory: Path) -> None:
    result = call("dev", "no.such.module")
    assert result.exit_code == 1
    assert "'no.such.module'" in result.stderr
    assert list(empty_directory.iterdir()) == []


def test_without_an_api_the_options_and_variables_are_named() -> None:
    result = call("run", "anyone", "--input", "x")
    assert result.exit_code == 2
    assert "AGENTFLEET_API_URL" in result.stderr
    assert "agentfleet dev" in result.stderr


def test_a_stack_that_ran_here_is_spoken_to_and_its_absence_is_told(empty_directory: Path) -> None:
    data = empty_directory / ".agentfleet"
    data.mkdir()
    StackEnv(f"http://{NOWHERE}", "af_key", "postgresql://x", "redis://x", "http://x").save(data)
    assert (data / "dev.json").stat().st_mode & 0o077 == 0
    result = call("runs", "list")
    assert result.exit_code == 1
    assert f"http://{NOWHERE} does not answer" in result.stderr
    assert "agentfleet dev" in result.stderr


def test_migrate_without_a_database_names_the_setting() -> None:
    result = call("migrate")
    assert result.exit_code == 2
    assert "AGENTFLEET_DATABASE_URL" in result.stderr


def test_an_argument_that_is_no_text_is_named() -> None:
    result = call("keys", "revoke", "--tenant", "a\udcff", AGENTFLEET_DATABASE_URL=f"postgresql://{NOWHERE}/x\udcff")
    assert result.exit_code == 1
    assert "not UTF-8" in result.output
