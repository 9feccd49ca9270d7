"""The parts of a stack that need no stack."""

import json
import socket
from pathlib import Path

import pytest

import agentfleet
from agentfleet.dev.embedded import Urls
from agentfleet.dev.env import StackEnv
from agentfleet.dev.environment import child_environment
from agentfleet.dev.errors import StackFailed
from agentfleet.dev.prepare import choose_port
from agentfleet.dev.process import Process, Program, announced
from agentfleet.dev.programs import StackOptions, plan_env, programs
from agentfleet.dev.targets import save_targets
from agentfleet.settings import Settings

URLS = Urls("postgresql://db", "redis://kv")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ANTHROPIC_API_KEY",
        "AGENTFLEET_PROVIDER_API_KEY",
        "AGENTFLEET_PROVIDER_BASE_URL",
        "AGENTFLEET_AGENTS",
    ):
        monkeypatch.delenv(name, raising=False)


def kinds(settings: Settings) -> list[str]:
    options = StackOptions(workers=3)
    return [program.name for program in programs(options, settings, plan_env(settings, URLS, 8080))]


def test_the_usual_port_makes_way_and_says_so_and_one_that_was_asked_for_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = taken.getsockname()[1]
        port, note = choose_port(None, usual)
        assert port != usual
        assert note is not None
        assert str(usual) in note
        assert str(port) in note
        assert choose_port(usual, 1) == (usual, None)
    assert choose_port(None, usual) == (usual, None)


def test_a_stack_without_a_key_brings_a_simulator() -> None:
    assert kinds(Settings()) == [
        "simulator-1", "steps-1", "steps-2", "steps-3", "ingress-1", "dispatcher-1", "reconciler-1", "batches-1",
        "flower-1"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "AGENTFLEET_PROVIDER_API_KEY", "AGENTFLEET_PROVIDER_BASE_URL"])
def test_a_stack_that_was_told_which_model_to_call_brings_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "https://example.org")
    assert "simulator-1" not in kinds(Settings())


def test_given_modules_win_over_the_setting_and_that_over_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(options: StackOptions) -> set[str]:
        settings = Settings()
        started = programs(options, settings, plan_env(settings, URLS, 1))
        return {program.environment["AGENTFLEET_AGENTS"] for program in started if program.kind != "simulator"}

    assert told(StackOptions()) == {"examples.dependency_audit.agent"}
    monkeypatch.setenv("AGENTFLEET_AGENTS", "mine.agents")
    assert told(StackOptions()) == {"mine.agents"}
    assert told(StackOptions(modules=("a.b", "c"))) == {"a.b,c"}


def test_children_find_the_workers_and_the_users_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    search = child_environment({"A": "b"})["PYTHONPATH"].split(":")
    assert search == [str(Path(agentfleet.__file__).parents[1]), str(tmp_path), "/elsewhere"]


def test_an_installation_without_workers_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agentfleet, "__file__", str(tmp_path / "site-packages" / "agentfleet" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StackFailed, match="container image"):
        child_environment({})


def test_the_address_of_a_stack_survives_a_round_trip_and_a_broken_file_is_none(tmp_path: Path) -> None:
    env = StackEnv("http://a", "af_key", "postgresql://b", "redis://c", "http://d", None)
    env.save(tmp_path)
    assert StackEnv.load(tmp_path) == env
    (tmp_path / "dev.json").write_text('{"api_url": 1')
    assert StackEnv.load(tmp_path) is None
    assert StackEnv.load(tmp_path / "nowhere") is None


def test_a_process_that_ends_while_it_starts_quotes_its_log(tmp_path: Path) -> None:
    process = Process(Program("steps", 2, ("no_such_module",)), tmp_path)
    process.start()
    assert process.wait(60)
    with pytest.raises(StackFailed, match="steps-2 ended with exit code 1") as caught:
        process.ready()
    assert "No module named no_such_module" in str(caught.value)
    assert str(tmp_path / "steps-2.log") in str(caught.value)


@pytest.mark.parametrize(
    ("output", "ready"),
    [
        ('{"event":"starting"}\n{"url": "http://x"}\n', True),
        ('{"ready": "steps"}\n{"event":"more"}\n', True),
        ('{"url": "http://x", "event": "ready"}\n{"url": "http://x"}\n', True),
        ('{"url": "http://x", "event": "ready"}\n', False),
        ('{"url": "http', False),
        ("", False),
    ],
)
def test_ready_is_who_announces_it_on_a_line_of_its_own(output: str, ready: bool) -> None:
    assert announced(output) is ready


def test_prometheus_is_told_of_every_process_that_has_metrics(tmp_path: Path) -> None:
    env = plan_env(Settings(), URLS, 8080)
    processes = [Process(program, tmp_path) for program in programs(StackOptions(workers=2), Settings(), env)]
    found = json.loads(save_targets(tmp_path, processes).read_text())
    kinds = [group["labels"]["process"] for group in found]
    assert kinds == ["steps", "steps", "ingress", "dispatcher", "reconciler", "batches", "flower"]
    places = [place for group in found for place in group["targets"]]
    assert len(set(places)) == len(places)
    assert "127.0.0.1:8080" in places
    assert f"127.0.0.1:{env.flower_url.rpartition(':')[2]}" in places
