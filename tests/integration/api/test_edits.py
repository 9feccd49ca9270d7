"""A dead letter comes back edited; what was said stays as it was said."""

import asyncio
import json

import pytest

from agentfleet.agents.bundle import bundle_id
from agentfleet.api import schemas
from tests.factories import execute, tally
from tests.integration.api.answers import pointers, problem
from tests.integration.api.letters import work

pytestmark = pytest.mark.usefixtures("invariants_hold")

SIGNED = '[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"wait"}]'


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
