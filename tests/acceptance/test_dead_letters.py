"""Dead letters on a whole stack: the simulator refuses what a conversation must not have, such as an edited history."""

from collections.abc import Iterator

import httpx2
import pytest

from agentfleet.client import ApiProblem, Client
from tests.acceptance.stacks import Dev, dev
from tests.acceptance.test_dev_stack import AGENT, arm


@pytest.fixture(scope="module")
def stack() -> Iterator[Dev]:
    """One stack for this file."""
    with dev() as running:
        yield running


def dead(client: Client, stack: Dev, *names: str, word: str | None = None) -> list[str]:
    """Runs of which a model call is refused: the first one, or the first that holds ``word``."""
    runs: list[str] = []
    for name in names:
        arm(stack, "invalid_request", word or name)
        runs.append(client.submit(AGENT, {"distribution": name}).id)
        assert client.wait(runs[-1]).status == "needs_review"
    return runs


def test_many_are_seen_as_one_kind_and_come_back_in_bulk_under_another_model(stack: Dev) -> None:
    with stack.client() as client:
        runs = dead(client, stack, "pluggy", "iniconfig", "packaging")
        [kind] = [one for one in client.clusters() if one.runs >= 3]
        plan = client.plan_replay(fingerprint=kind.fingerprint, edit={"model": "claude-haiku-4-5"})
        assert plan.count >= 3
        *_, last = client.replay_all(plan)
        assert last.remaining == 0
        assert {client.wait(one).status for one in runs} == {"succeeded"}
        assert {client.get(one).model for one in runs} == {"claude-haiku-4-5"}


def test_a_message_is_appended_to_a_history_that_stays_as_it_was(stack: Dev) -> None:
    with stack.client() as client:
        [run] = dead(client, stack, "pluggy", word="tool_result")
        [letter] = [client.dead_letter(one.id) for one in client.dead_letters() if one.run_id == run]
        assert letter.request_id
        assert "tool_result" in str(letter.messages[-1])
        with pytest.raises(ApiProblem, match="edit_refused"):
            client.replay(letter.id, input={"distribution": "iniconfig"})
        client.replay(letter.id, message="Be brief.")
        assert client.wait(run).status == "succeeded"
    url, headers = f"{stack.env['api_url']}/v1/runs/{run}/messages", {"Authorization": f"Bearer {stack.env['api_key']}"}
    said = httpx2.get(url, params={"limit": 200}, headers=headers).json()["data"]
    assert said[: len(letter.messages)] == letter.messages, "append-only"
    assert said[len(letter.messages)]["content"] == [{"type": "text", "text": "Be brief."}]
