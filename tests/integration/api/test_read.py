"""Reading a run, its steps, its conversation, its result; and lists of runs."""

import json

import pytest
from sqlalchemy import select

from agentfleet.api import schemas
from agentfleet.domain.states import RunState
from agentfleet.store.tables import messages
from tests.integration.api.answers import problem


async def test_a_finished_run_tells_everything(client, submit, hands) -> None:
    run = await submit(metadata={"order": "17"}, priority=5, deadline=600)
    await hands.call_tool(run["id"])
    response = await client.get(run["urls"]["self"])
    assert schemas.Run.model_validate(response.json()).status == "running"
    found = schemas.Run.model_validate((await client.get(run["urls"]["self"])).json())
    assert found.usage.model_dump() == {
        "steps": 2, "tool_calls": 0, "input_tokens": 120, "output_tokens": 30, "cache_read_tokens": 1000,
        "cache_write_tokens": 10, "cost_usd": "0.0125",
    }  # fmt: skip
    assert (found.model, found.agent, found.priority, found.metadata) == (
        "claude-sonnet-5-5",
        "support",
        5,
        {"order": "17"},
    )
    assert found.started_at is not None
    assert found.deadline_at is not None
    assert found.finished_at is None


async def test_an_unchanged_run_answers_304_without_a_body(client, submit, hands) -> None:
    run = await submit()
    first = await client.get(run["urls"]["self"])
    assert first.headers["cache-control"] == "no-cache, private"
    strong = first.headers["etag"].removeprefix("W/")
    for etag in (first.headers["etag"], strong, f'"other", W/{strong}', "*"):
        same = await client.get(run["urls"]["self"], headers={"If-None-Match": etag})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == first.headers["etag"]
        assert same.headers["retry-after"] == "1"
    await hands.finish(run["id"])
    changed = await client.get(run["urls"]["self"], headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]
    assert "retry-after" not in changed.headers


async def test_one_version_is_always_the_same_bytes(client, submit, hands, clock) -> None:
    run = await submit()
    await hands.finish(run["id"])
    first = await client.get(run["urls"]["self"])
    clock.advance(3_600)
    again = await client.get(run["urls"]["self"])
    assert again.headers["etag"] == first.headers["etag"]
    assert again.content == first.content


async def test_asking_again_is_worth_less_with_age(client, submit, clock) -> None:
    run = await submit()
    seconds = []
    for passed in (0, 30, 300, 3_600):
        clock.advance(passed)
        seconds.append(int((await client.get(run["urls"]["self"])).headers["retry-after"]))
    assert seconds == [1, 2, 5, 15]


async def test_the_result_is_the_output(client, submit, hands) -> None:
    run = await submit()
    await hands.finish(run["id"], {"text": "Hi", "b": 1, "a": 2})
    response = await client.get(run["urls"]["result"])
    assert schemas.Result.model_validate(response.json()).output == {"text": "Hi", "b": 1, "a": 2}
    assert list(response.json()["output"]) == ["text", "b", "a"]


async def test_a_run_that_has_not_ended_has_no_result_yet(client, submit) -> None:
    response = await client.get((await submit())["urls"]["result"])
    assert problem(response, 409) == "not_ready"
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED, RunState.NEEDS_REVIEW])
async def test_a_run_that_went_wrong_says_why_it_has_no_result(client, submit, hands, ingress, state: RunState) -> None:
    run = await submit()
    if state is RunState.NEEDS_REVIEW:
        await hands.bury(run["id"])
    else:
        await ingress.canceller.end([run["id"]], state, "because", "of a test", tenant_id="acme")
    response = await client.get(run["urls"]["result"])
    assert problem(response, 409) == f"run_{state}"
    assert response.json()["error"]["class"] == ("provider_rejected" if state is RunState.NEEDS_REVIEW else "because")


async def test_the_conversation_is_verbatim(client, submit, hands, db) -> None:
    run = await submit()
    await hands.finish(run["id"])
    response = await client.get(run["urls"]["messages"])
    found = schemas.MessagePage.model_validate(response.json())
    assert [(m.turn, m.part, m.role) for m in found.data] == [(0, 0, "user"), (1, 0, "assistant")]
    async with db.reading() as connection:
        kept = await connection.scalars(select(messages.c.content).where(messages.c.run_id == run["id"]))
    for content in kept:
        assert content.encode() in response.content


async def test_steps_come_in_order_with_their_attempts(client, submit, hands) -> None:
    run = await submit()
    await hands.call_tool(run["id"])
    plain = schemas.StepPage.model_validate((await client.get(run["urls"]["steps"])).json())
    assert [(s.seq, s.kind, s.name, s.status) for s in plain.data] == [
        (0, "reason", "claude-sonnet-5-5", "succeeded"), (1, "tool", "look", "dispatched"),
    ]  # fmt: skip
    assert plain.data[0].input is None
    assert plain.data[1].input == {"call_id": "toolu_1", "arguments": {"place": "x"}}
    full = schemas.StepPage.model_validate((await client.get(run["urls"]["steps"] + "?attempts=true")).json())
    [attempt] = full.data[0].attempts
    assert (attempt.attempt, attempt.outcome, attempt.worker, attempt.cost_usd) == (1, "succeed", "hands:1", "0.0125")
    assert full.data[1].attempts == []


async def walk(client, path: str, **query: object) -> list[dict]:
    """Every page of a list, by its Link header."""
    found: list[dict] = []
    response = await client.get(path, params=query)
    while True:
        page = response.json()
        found += page["data"]
        link = response.headers.get("link")
        assert (link is None) == (page["next_cursor"] is None)
        if link is None:
            return found
        response = await client.get(link.removeprefix("<").removesuffix('>; rel="next"'))


async def test_lists_are_walked_page_by_page(client, submit, hands) -> None:
    ids = [(await submit(input=str(n)))["id"] for n in range(5)]
    found = await walk(client, "/v1/runs", limit=2)
    assert [run["id"] for run in found] == ids[::-1]
    for run in found:
        schemas.RunSummary.model_validate(run)
    await hands.call_tool(ids[0])
    assert [s["seq"] for s in await walk(client, f"/v1/runs/{ids[0]}/steps", limit=1)] == [0, 1]
    assert [m["turn"] for m in await walk(client, f"/v1/runs/{ids[0]}/messages", limit=1)] == [0, 1]


async def test_a_cursor_holds_while_new_runs_arrive(client, submit) -> None:
    old = [(await submit())["id"] for _ in range(3)]
    first = (await client.get("/v1/runs?limit=1")).json()
    await submit()
    rest = await client.get("/v1/runs", params={"cursor": first["next_cursor"]})
    assert [run["id"] for run in rest.json()["data"]] == old[1::-1]


async def test_runs_are_listed_by_state_and_agent(client, submit, hands) -> None:
    done, queued = (await submit())["id"], (await submit())["id"]
    order = (await submit(agent="orders", input={"number": 1}))["id"]
    await hands.finish(done)
    assert [r["id"] for r in await walk(client, "/v1/runs", status="succeeded")] == [done]
    assert [r["id"] for r in await walk(client, "/v1/runs", agent="orders", limit=1)] == [order]
    both = await client.get("/v1/runs?status=succeeded&status=queued&agent=support&limit=1")
    assert both.json()["data"][0]["id"] == queued
    rest = await client.get(both.headers["link"].partition(">")[0][1:])
    assert [r["id"] for r in rest.json()["data"]] == [done]
    assert await walk(client, "/v1/runs", agent="unknown") == []


async def test_a_query_that_is_not_valid_names_its_parameter(client) -> None:
    for query in (
        "limit=0", "limit=201", "limit=x", "status=done", "agent=A%00", "agent=", "cursor=x", "cursor=" + "x" * 300,
    ):  # fmt: skip
        response = await client.get(f"/v1/runs?{query}")
        assert problem(response, 422) == "invalid_request"
        assert response.json()["errors"][0]["parameter"].partition(".")[0] == query.partition("=")[0]


async def test_a_list_leaves_the_large_documents_out(client, submit, hands) -> None:
    run = await submit(input="x" * 1000)
    await hands.finish(run["id"], "y" * 1000)
    [found] = (await client.get("/v1/runs")).json()["data"]
    assert not {"input", "output"} & set(found)
    assert json.loads((await client.get(run["urls"]["self"])).content)["output"] == "y" * 1000
