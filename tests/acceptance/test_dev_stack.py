"""`agentfleet dev` as a stranger runs it: start, submit, break, stop."""

import json
import signal
import subprocess
from collections.abc import Iterator
from importlib.metadata import version

import httpx2
import pytest

from agentfleet.client import ApiProblem, WaitTimeout
from tests.acceptance.stacks import Dev, alive, command, dev, environment, until

KINDS = {"simulator", "steps", "ingress", "dispatcher", "reconciler", "batches", "flower", "postgres", "redis"}
AGENT = "dependency-audit"


@pytest.fixture(scope="module")
def stack() -> Iterator[Dev]:
    """One stack for this file: its tests leave it running, but for the last."""
    with dev() as running:
        yield running


def cli(stack: Dev, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in the stack's directory, where it finds the stack by itself."""
    return subprocess.run(
        command(*arguments), cwd=stack.directory, env=environment(), capture_output=True, text=True, check=False
    )


def arm(stack: Dev, fault: str, word: str) -> None:
    """Let the simulator fail once, at a request that holds ``word``."""
    order = {"fault": fault, "times": 1, "match": {"contains": word}}
    httpx2.post(f"{stack.env['simulator_url']}/sim/faults", json=order).raise_for_status()


def test_one_line_of_json_says_where_everything_is(stack: Dev) -> None:
    assert len(stack.out.read_text().splitlines()) == 1
    assert stack.env["pids"].keys() == KINDS
    assert len(stack.env["pids"]["steps"]) == 2
    assert all(alive(pid) for pid in stack.pids())
    for name in ("api_url", "simulator_url", "flower_url"):
        assert stack.env[name].startswith("http://")
        assert "127.0.0.1" in stack.env[name]
    assert httpx2.get(f"{stack.env['api_url']}/readyz").status_code == 200
    assert httpx2.get(f"{stack.env['flower_url']}/api/workers").status_code == 200


def test_a_run_goes_through_and_the_client_sees_all_of_it(stack: Dev) -> None:
    with stack.client() as client:
        accepted = client.submit(AGENT, {"distribution": "click"}, key="once", metadata={"from": "a test"})
        again = client.submit(AGENT, {"distribution": "click"}, key="once", metadata={"from": "a test"})
        assert again.id == accepted.id
        events = [event for event in client.events(accepted.id) if event.seq is not None]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert (events[0].type, events[-1].type) == ("run.queued", "run.succeeded")
        ended = client.wait(accepted.id)
        assert ended.status == "succeeded"
        assert ended.output == client.result(accepted.id)
        assert ended.output["version"] == version("click")
        assert ended.usage.cost_usd > 0
        steps = list(client.steps(accepted.id, attempts=True))
        assert [step.status for step in steps] == ["succeeded"] * ended.usage.steps
        assert all(len(step.attempts) == 1 for step in steps)
        assert accepted.id in [run.id for run in client.runs(agent=AGENT)]
        assert list(client.events(accepted.id, after=len(events))) == []


def test_a_refusal_names_what_is_wrong(stack: Dev) -> None:
    with stack.client() as client, pytest.raises(ApiProblem, match="nobody") as caught:
        client.submit("nobody", "Hello?")
    assert caught.value.status == 422
    assert caught.value.request_id


def test_a_step_that_was_given_up_on_is_replayed_and_its_run_goes_on(stack: Dev) -> None:
    arm(stack, "invalid_request", "pluggy")
    with stack.client() as client:
        accepted = client.submit(AGENT, {"distribution": "pluggy"})
        assert client.wait(accepted.id).status == "needs_review"
        [letter] = [one for one in client.dead_letters() if one.run_id == accepted.id]
        assert client.dead_letter(letter.id).step["kind"] == "reason"
        assert client.replay(letter.id).status == "replayed"
        assert client.wait(accepted.id).status == "succeeded"


def test_a_step_that_is_discarded_fails_its_run_which_has_no_result(stack: Dev) -> None:
    arm(stack, "invalid_request", "iniconfig")
    with stack.client() as client:
        accepted = client.submit(AGENT, {"distribution": "iniconfig"})
        assert client.wait(accepted.id).status == "needs_review"
        [letter] = [one for one in client.dead_letters() if one.run_id == accepted.id]
        assert client.discard(letter.id).status == "discarded"
        assert client.get(accepted.id).status == "failed"
        with pytest.raises(ApiProblem) as caught:
            client.result(accepted.id)
        assert caught.value.code == "run_failed"


def test_a_cancelled_run_ends_although_the_model_never_answers(stack: Dev) -> None:
    arm(stack, "stall_before_headers", "platformdirs")
    with stack.client() as client:
        accepted = client.submit(AGENT, {"distribution": "platformdirs"})
        with pytest.raises(WaitTimeout):
            client.wait(accepted.id, timeout=1)
        assert client.cancel(accepted.id).status == "cancelled"
        assert client.cancel(accepted.id).status == "cancelled"
        assert client.wait(accepted.id).status == "cancelled"


def test_run_prints_the_output_and_how_it_came_about(stack: Dev) -> None:
    ended = cli(stack, "run", AGENT, "--input", "click")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["version"] == version("click")
    for word in ("reason", "tool read_metadata", "succeeded after", "$"):
        assert word in ended.stderr


def test_run_fails_when_the_run_fails(stack: Dev) -> None:
    arm(stack, "refusal", "certifi")
    ended = cli(stack, "run", AGENT, "--input", "certifi")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "failed after" in ended.stderr


def test_doctor_finds_nothing_wrong_with_a_running_stack(stack: Dev) -> None:
    ended = cli(stack, "doctor", "--json")
    findings = json.loads(ended.stdout)["findings"]
    assert [finding for finding in findings if finding["level"] == "fail"] == []
    assert ended.returncode == 0


@pytest.mark.parametrize("kind", ["steps", "redis", "postgres", "dispatcher", "reconciler", "simulator"])
def test_what_is_killed_is_started_again_and_runs_go_on(stack: Dev, kind: str) -> None:
    stack.kill(kind)
    with stack.client() as client:
        accepted = client.submit(AGENT, {"distribution": "rich"})
        assert client.wait(accepted.id).status == "succeeded", stack.said()


def test_an_event_stream_goes_on_where_a_killed_ingress_broke_it(stack: Dev) -> None:
    with stack.client() as client:
        accepted = client.submit(AGENT, {"distribution": "rich"})
        events = client.events(accepted.id)
        seen = [next(events)]
        stack.kill("ingress")
        seen += events
    numbers = [event.seq for event in seen if event.seq is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    assert seen[-1].type == "run.succeeded"


def test_a_second_stack_in_the_same_directory_says_who_is_in_its_way(stack: Dev) -> None:
    here = cli(stack, "dev")
    assert here.returncode == 1
    assert f"Process {stack.process.pid} " in here.stderr


def test_nothing_survives_a_killed_parent_and_the_next_stack_keeps_data_and_key(stack: Dev) -> None:
    """The last but one test of this stack: it goes on with another in the same directory."""
    with stack.client() as client:
        run = client.wait(client.submit(AGENT, {"distribution": "click"}).id)
    started, key = stack.pids(), stack.env["api_key"]
    stack.process.kill()
    stack.process.wait()
    until(lambda: not any(alive(pid) for pid in started), "all processes are gone")
    stack.start()
    stack.wait_until_ready()
    assert stack.env["api_key"] == key
    with stack.client() as client:
        assert client.get(run.id).output == run.output


def test_sigterm_ends_everything_well_and_leaves_nothing_behind(stack: Dev) -> None:
    started = stack.pids()
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait() == 0, stack.said()
    assert [pid for pid in started if alive(pid)] == []
