"""A dead letter comes back edited, or with a result that a human gives; what was said stays as it was said."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentfleet.agents.bundle import bundle_id
from agentfleet.api import schemas
from agentfleet.domain import settlement
from agentfleet.domain.errors import EffectUnknown
from agentfleet.domain.plan import after_tool
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.dispatch import Dispatcher
from tests import invariants
from tests.factories import POOL, execute, tally
from tests.integration.api.answers import pointers, problem
from tests.scripted import Bells, Script, Tools, Worker, answer, ask_for

SIGNED = '[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"wait"}]'


@pytest.fixture(autouse=True)
def _invariants_hold(database_url: str):
    yield
    invariants.check(database_url)


async def letter_of(client, run: str) -> dict[str, Any]:
    letters = (await client.get("/v1/dead-letters?status=open")).json()["data"]
    return next(letter for letter in letters if letter["run_id"] == run)


@pytest.fixture
def dead_call(client, submit, hands) -> Callable[[], Awaitable[tuple[str, str]]]:
    """A run whose tool call died: its id, and its dead letter's path."""

    async def make() -> tuple[str, str]:
        run = await submit()
        await hands.call_tool(run["id"])
        claimed = await hands.claim(run["id"])
        await hands.settle(settlement.failed(claimed, EffectUnknown("look was cut off"), RetryPolicy(), jitter=0.5))
        return run["id"], f"/v1/dead-letters/{(await letter_of(client, run['id']))['id']}"

    return make


@pytest.fixture
def dead_reason(client, submit, hands) -> Callable[..., Awaitable[tuple[str, str]]]:
    """A run whose model call died, after ``turns`` of the model: its id, and its dead letter's path."""

    async def make(turns: int = 0, **more: Any) -> tuple[str, str]:
        run = await submit(**more)
        for _ in range(turns):
            await hands.call_tool(run["id"])
            await hands.settle(returned(await hands.claim(run["id"])))
        await hands.bury(run["id"])
        return run["id"], f"/v1/dead-letters/{(await letter_of(client, run['id']))['id']}"

    return make


def returned(claimed):
    """The settlement of a tool call."""
    block = json.dumps({"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"})
    return settlement.succeeded(claimed, after_tool(claimed.turn, claimed.part, block, "claude-sonnet-5-5"))


@pytest.fixture
def worker(db) -> Worker:
    """A worker whose model answers after its first tool call, if somebody rings."""
    return Worker(db, Bells(), Script([ask_for("look"), answer("done"), answer("done")]), Tools())


async def work(db, worker: Worker) -> int:
    await Dispatcher(db, worker.bells, pool=POOL, window=1000).run_once()
    return await worker.work()


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


async def test_a_tool_call_comes_back_with_edited_arguments(client, dead_call, db, worker) -> None:
    run, path = await dead_call()
    before = (await client.get(f"/v1/runs/{run}/messages")).json()
    response = await client.post(f"{path}/replay", json={"input": {"place": "there"}})
    letter = schemas.DeadLetter.model_validate(response.json())
    assert letter.resolution.edited == ["input"]
    steps = (await client.get(f"/v1/runs/{run}/steps")).json()["data"]
    assert steps[1]["input"]["arguments"] == {"place": "there"}
    assert steps[1]["input"]["call_id"] == "toolu_1"
    assert (await client.get(f"/v1/runs/{run}/messages")).json() == before, "what the model asked for is history"
    await work(db, worker)
    assert len(worker.tools.calls) == 1
    assert (await tally(db, run)).run.state == "succeeded"


async def test_arguments_that_the_tool_does_not_take_are_named(client, dead_call) -> None:
    run, path = await dead_call()
    for given, place in (({"place": 7}, "/input/place"), ({}, "/input/place"), ("there", "/input")):
        response = await client.post(f"{path}/replay", json={"input": given})
        assert problem(response, 422) == "invalid_request"
        assert pointers(response) == {place}
    assert problem(await client.post(f"{path}/replay", json={"message": "x"}), 409) == "edit_refused"
    assert (await state_of(client, run)) == "needs_review"


async def state_of(client, run: str) -> str:
    return (await client.get(f"/v1/runs/{run}")).json()["status"]


async def test_a_runs_input_is_edited_while_the_model_has_said_nothing(client, dead_reason, db, worker) -> None:
    run, path = await dead_reason()
    response = await client.post(f"{path}/replay", json={"input": "Ask better?", "message": "And soon."})
    letter = schemas.DeadLetter.model_validate(response.json())
    assert letter.resolution.edited == ["input", "message"]
    assert letter.resolution.input_before == "Hello?"
    assert (await client.get(f"/v1/runs/{run}")).json()["input"] == "Ask better?"
    found = await tally(db, run)
    texts = [json.loads(one.content)[0]["text"] for one in found.messages]
    assert texts == ["Ask better?", "And soon."]
    await work(db, worker)
    assert (await tally(db, run)).run.state == "succeeded"


async def test_the_input_of_an_agent_with_a_schema_is_checked_again(client, dead_reason) -> None:
    run, path = await dead_reason(agent="orders", input={"number": 1})
    for given in ({"number": "x"}, " "):
        response = await client.post(f"{path}/replay", json={"input": given})
        assert problem(response, 422) == "invalid_request"
        assert pointers(response) == {"/input"}
    assert (await client.post(f"{path}/replay", json={"input": {"number": 2}})).status_code == 200
    assert (await client.get(f"/v1/runs/{run}")).json()["input"] == {"number": 2}


async def test_what_the_model_has_answered_is_never_edited_but_appended_to(client, dead_reason, db, worker) -> None:
    run, path = await dead_reason(turns=1)
    before = (await tally(db, run)).messages
    assert problem(await client.post(f"{path}/replay", json={"input": "Other"}), 409) == "edit_refused"
    response = await client.post(f"{path}/replay", json={"message": "Mind the gap."})
    assert response.status_code == 200, response.text
    after = (await tally(db, run)).messages
    assert [tuple(one) for one in after[:-1]] == [tuple(one) for one in before], "append-only"
    assert (after[-1].turn, after[-1].part, after[-1].role) == (before[-1].turn, before[-1].part + 1, "user")
    await work(db, worker)
    assert (await tally(db, run)).run.state == "succeeded"


async def test_nothing_is_said_into_a_turn_that_the_model_has_paused(client, dead_reason, database_url) -> None:
    run, path = await dead_reason()
    execute(
        database_url,
        "INSERT INTO messages (run_id, turn, part, role, content) VALUES (%s, 1, 0, 'assistant', '[]')",
        run,
    )
    assert problem(await client.post(f"{path}/replay", json={"message": "x"}), 409) == "edit_refused"


async def test_another_model_and_other_instructions_are_another_bundle(
    client, dead_reason, db, worker, ingress
) -> None:
    run, path = await dead_reason(turns=1)
    old = (await client.get(f"/v1/runs/{run}")).json()["bundle_id"]
    response = await client.post(f"{path}/replay", json={"model": "claude-opus-5-5", "instructions": "Help more."})
    letter = schemas.DeadLetter.model_validate(response.json())
    assert letter.resolution.edited == ["model", "instructions"]
    now = (await client.get(f"/v1/runs/{run}")).json()
    spec = {**(await ingress.bundles.load(old)).spec, "model": "claude-opus-5-5", "instructions": "Help more."}
    assert now["bundle_id"] == letter.resolution.bundle_id == bundle_id(spec) != old
    assert now["model"] == "claude-opus-5-5"
    assert (await ingress.bundles.load(now["bundle_id"])).spec == spec
    asked: list[tuple[str, str]] = []

    async def note(request) -> None:
        asked.append((request.model, request.bundle.spec["instructions"]))

    worker.model.before = note
    await work(db, worker)
    assert asked == [("claude-opus-5-5", "Help more.")]
    assert (await tally(db, run)).run.state == "succeeded"


async def test_a_tools_run_goes_on_under_another_model(client, dead_call, db, worker) -> None:
    run, path = await dead_call()
    await client.post(f"{path}/replay", json={"model": "claude-opus-5-5"})
    await work(db, worker)
    assert [step.name for step in (await tally(db, run)).steps] == ["claude-sonnet-5-5", "look", "claude-opus-5-5"]


async def test_instructions_stay_once_the_model_has_signed_its_reasoning(client, dead_reason, database_url) -> None:
    run, path = await dead_reason(turns=1)
    execute(database_url, "UPDATE messages SET content = %s WHERE run_id = %s AND role = 'assistant'", SIGNED, run)
    assert problem(await client.post(f"{path}/replay", json={"instructions": "Other."}), 409) == "edit_refused"
    assert (await client.post(f"{path}/replay", json={"model": "claude-opus-5-5"})).status_code == 200


async def test_an_edit_is_done_once_and_written_down(client, dead_reason, db, key) -> None:
    run, path = await dead_reason()
    body = {"message": "Once."}
    answers = await asyncio.gather(*(client.post(f"{path}/replay", json=body) for _ in range(4)))
    assert {one.status_code for one in answers} == {200}
    assert len((await tally(db, run)).messages) == 2
    async with db.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT action, object, actor FROM audit")).all()
    letter = answers[0].json()
    assert [tuple(row) for row in rows] == [("dead_letter.replay", letter["id"], letter["resolution"]["by"])]


async def test_a_run_that_was_cancelled_meanwhile_does_not_come_back(client, dead_reason, db) -> None:
    for _ in range(4):
        run, path = await dead_reason()
        replay, cancel = await asyncio.gather(
            client.post(f"{path}/replay", json={"input": "New."}), client.post(f"/v1/runs/{run}/cancel")
        )
        assert cancel.status_code == 202
        assert await state_of(client, run) == "cancelled"
        found = await tally(db, run)
        assert [json.loads(one.content)[0]["text"] for one in found.messages] == [
            "New." if replay.status_code == 200 else "Hello?"
        ]


@pytest.mark.parametrize(
    ("verb", "body", "places"),
    [
        ("replay", {"more": 1}, {"/more"}),
        ("replay", {"model": ""}, {"/model"}),
        ("replay", {"model": "a b"}, {"/model"}),
        ("replay", {"message": " \n"}, {"/message"}),
        ("replay", {"instructions": 7}, {"/instructions"}),
        ("replay", {"input": [1]}, {"/input"}),
        ("skip", {}, {"/result"}),
        ("skip", {"result": "x", "is_error": "no"}, {"/is_error"}),
        ("skip", {"result": ["x" * 200_000, "y" * 200_000]}, {"/result"}),
    ],
)
async def test_what_is_wrong_with_an_edit_is_named(client, dead_call, verb, body, places) -> None:
    run, path = await dead_call()
    response = await client.post(f"{path}/{verb}", json=body)
    assert problem(response, 422) == "invalid_request"
    assert pointers(response) == places
    assert await state_of(client, run) == "needs_review"


async def test_another_tenant_can_edit_and_skip_nothing(client, connect, other_key, dead_call) -> None:
    run, path = await dead_call()
    other = connect(other_key)
    for verb, body in (("skip", {"result": "x"}), ("replay", {"input": {"place": "x"}}), ("discard", None)):
        assert problem(await other.post(f"{path}/{verb}", json=body), 404) == "not_found"
    assert await state_of(client, run) == "needs_review"
