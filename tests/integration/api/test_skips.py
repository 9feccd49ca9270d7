"""A tool call that died gets the result that a human gives, and is not made."""

import asyncio
import json

import pytest

from agentfleet.api import schemas
from tests.factories import tally
from tests.integration.api.answers import problem
from tests.integration.api.letters import work

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def test_a_skipped_tool_call_has_the_given_result_and_is_not_made(client, dead_call, db, worker) -> None:
    run, path = await dead_call()
    response = await client.post(f"{path}/skip", json={"result": {"paid": True, "note": "é"}, "is_error": False})
    letter = schemas.DeadLetter.model_validate(response.json())
    assert (letter.status, letter.resolution.action, letter.resolution.result) == (
        "replayed", "skip", {"paid": True, "note": "é"},
    )  # fmt: skip
    assert await work(db, worker) == 2
    assert worker.tools.calls == []
    found = await tally(db, run)
    assert found.run.state == "succeeded"
    [block] = json.loads(found.messages[2].content)
    assert block == {"type": "tool_result", "tool_use_id": "toolu_1", "content": '{"paid":true,"note":"é"}'}
    assert found.run.tool_calls == 1
    event = next(event for event in found.events if event.type == "step.skipped")
    assert json.loads(event.data)["step_id"] == letter.step.id


async def test_a_given_failure_is_told_as_one(client, dead_call, db, worker) -> None:
    run, path = await dead_call()
    await client.post(f"{path}/skip", json={"result": "it did not happen", "is_error": True})
    await work(db, worker)
    [block] = json.loads((await tally(db, run)).messages[2].content)
    assert (block["content"], block["is_error"]) == ("it did not happen", True)


async def test_skipping_again_is_harmless_and_skipping_otherwise_is_refused(client, dead_call, db) -> None:
    _, path = await dead_call()
    body = {"result": "ok"}
    answers = await asyncio.gather(*(client.post(f"{path}/skip", json=body) for _ in range(4)))
    answers.append(await client.post(f"{path}/skip", json=body))
    assert [one.status_code for one in answers] == [200] * 5
    assert problem(await client.post(f"{path}/skip", json={"result": "no"}), 409) == "dead_letter_closed"
    assert problem(await client.post(f"{path}/replay", json={"input": {"place": "x"}}), 409) == "dead_letter_closed"
    assert (await client.post(f"{path}/replay")).status_code == 200, "it was replayed, in a way"


async def test_of_a_skip_and_a_replay_at_once_one_happens(client, dead_call, db, worker) -> None:
    for _ in range(5):
        run, path = await dead_call()
        skip, replay = await asyncio.gather(
            client.post(f"{path}/skip", json={"result": "given"}),
            client.post(f"{path}/replay", json={"input": {"place": "there"}}),
        )
        assert sorted((skip.status_code, replay.status_code)) == [200, 409]
        worker.tools.calls.clear()
        await work(db, worker)
        assert len(worker.tools.calls) == (replay.status_code == 200)
        assert (await tally(db, run)).run.state == "succeeded"


async def test_a_model_call_cannot_be_skipped(client, dead_reason) -> None:
    run, path = await dead_reason()
    assert problem(await client.post(f"{path}/skip", json={"result": "x"}), 409) == "edit_refused"
    await client.post(f"/v1/runs/{run}/cancel")
