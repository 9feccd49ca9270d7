"""Submitting: what is accepted, what is answered, and what is stored."""

import json
from typing import Any

from sqlalchemy import select

from agentfleet.api import schemas
from agentfleet.store.tables import messages, runs, steps
from tests.integration.api.answers import pointers, problem

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def stored(db, run_id: str) -> Any:
    async with db.reading() as connection:
        return (await connection.execute(select(runs).where(runs.c.id == run_id))).one()


async def test_a_202_is_committed_and_says_where_to_go_on(client, db) -> None:
    response = await client.post("/v1/runs", json={"agent": "support", "input": "Where is it?"})
    assert response.status_code == 202
    run = schemas.Accepted.model_validate(response.json())
    assert response.headers["location"] == run.urls.self == f"/v1/runs/{run.id}"
    assert response.headers["retry-after"] == "1"
    assert response.headers["cache-control"] == "no-store"
    assert run.status == "queued"
    row = await stored(db, run.id)
    assert (row.tenant_id, row.agent, row.state, json.loads(row.input)) == ("acme", "support", "queued", "Where is it?")


async def test_the_input_becomes_the_first_message(client, db) -> None:
    for given, said in (("Hi \U0001f600", "Hi \U0001f600"), ({"b": 1, "a": [None]}, '{"b":1,"a":[null]}')):
        run = (await client.post("/v1/runs", json={"agent": "support", "input": given})).json()
        async with db.reading() as connection:
            content = await connection.scalar(select(messages.c.content).where(messages.c.run_id == run["id"]))
        assert json.loads(content) == [{"type": "text", "text": said}]
        assert (await client.get(run["urls"]["self"])).json()["input"] == given


async def test_everything_that_was_asked_for_is_stored(client, db) -> None:
    body = {"agent": "support", "input": "x", "priority": -100, "metadata": {"order": "17"}, "deadline": 90}
    run = (await client.post("/v1/runs", json=body, headers={"traceparent": TRACE})).json()
    row = await stored(db, run["id"])
    assert (row.priority, json.loads(row.metadata), row.traceparent) == (-100, {"order": "17"}, TRACE)
    assert (row.deadline_at - row.created_at).total_seconds() == 90
    async with db.reading() as connection:
        assert await connection.scalar(select(steps.c.priority).where(steps.c.run_id == run["id"])) == -100


async def test_the_agents_own_deadline_wins_when_it_is_sooner(client, db) -> None:
    for given, kept in ((None, 60), (3_600, 60), (30, 30)):
        run = (
            await client.post("/v1/runs", json={"agent": "orders", "input": {"number": 1}, "deadline": given})
        ).json()
        row = await stored(db, run["id"])
        assert (row.deadline_at - row.created_at).total_seconds() == kept


async def test_a_malformed_traceparent_is_ignored(client, db) -> None:
    zero = "00-" + "0" * 32 + TRACE[35:]
    for trace in ("", "x", TRACE.upper(), "ff" + TRACE[2:], zero, TRACE + "-x"):
        response = await client.post("/v1/runs", json=GOOD, headers={"traceparent": trace})
        assert (await stored(db, response.json()["id"])).traceparent is None


GOOD: dict[str, Any] = {"agent": "support", "input": "x"}


FAULTY: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"/agent", "/input"}),
    ({**GOOD, "agent": "nobody"}, {"/agent"}),
    ({**GOOD, "agent": 7, "input": None, "priority": 101, "metadata": [], "deadline": 0},
     {"/agent", "/input", "/priority", "/metadata", "/deadline"}),
    ({**GOOD, "inptu": 1, "a/b": 2}, {"/inptu", "/a~1b"}),
    ({**GOOD, "input": ""}, {"/input"}),
    ({**GOOD, "input": " \n\t"}, {"/input"}),
    ({**GOOD, "input": ["x"]}, {"/input"}),
    ({**GOOD, "priority": True}, {"/priority"}),
    ({**GOOD, "priority": 1.0}, {"/priority"}),
    ({**GOOD, "priority": -101}, {"/priority"}),
    ({**GOOD, "priority": None}, {"/priority"}),
    ({**GOOD, "metadata": {"a": 1, "b": "ok", "c": None, "": "x", "d": "x" * 513, "e" * 65: "x"}},
     {"/metadata/a", "/metadata/c", "/metadata/", "/metadata/d", "/metadata/" + "e" * 65}),
    ({**GOOD, "metadata": {str(n): "x" for n in range(33)}}, {"/metadata"}),
    ({**GOOD, "deadline": "60"}, {"/deadline"}),
    ({**GOOD, "deadline": True}, {"/deadline"}),
    ({**GOOD, "deadline": 1e12}, {"/deadline"}),
    ({"agent": "orders", "input": "a text"}, {"/input"}),
    ({"agent": "orders", "input": {"number": "many", "reason": 3}}, {"/input/number", "/input/reason"}),
]  # fmt: skip


async def test_every_fault_of_a_request_is_named_at_once(client) -> None:
    for body, places in FAULTY:
        response = await client.post("/v1/runs", json=body)
        assert problem(response, 422) == "invalid_request", body
        assert pointers(response) == places


async def test_a_refused_request_leaves_nothing_behind(client, db) -> None:
    await client.post("/v1/runs", json={"agent": "nobody", "input": "x"}, headers={"Idempotency-Key": "k"})
    assert (await client.get("/v1/runs")).json()["data"] == []
    again = await client.post("/v1/runs", json={"agent": "support", "input": "x"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 202


async def test_a_body_that_is_not_declared_as_json_is_refused(client) -> None:
    for declared in (None, "", "text/plain", "application/json-seq", "multipart/form-data", "application"):
        headers = {} if declared is None else {"Content-Type": declared}
        response = await client.post("/v1/runs", content=json.dumps(GOOD).encode(), headers=headers)
        assert problem(response, 415) == "unsupported_media_type"


async def test_json_may_be_declared_in_any_spelling(client) -> None:
    for declared in ("application/json; charset=utf-8", "Application/JSON"):
        response = await client.post("/v1/runs", content=json.dumps(GOOD).encode(), headers={"Content-Type": declared})
        assert response.status_code == 202


async def test_a_body_that_is_not_strict_json_is_refused(client) -> None:
    for content, place in (
        (b"", ""),
        (b'{"agent":"support","input":"\\u0000"}', "/input"),
        (b'{"agent":"support","input":"x","input":"y"}', ""),
        (b'{"agent":"support","input":{"a":NaN}}', "/input/a"),
    ):
        response = await client.post("/v1/runs", content=content, headers={"Content-Type": "application/json"})
        assert problem(response, 422) == "invalid_json"
        assert pointers(response) == {place}


async def test_a_body_may_be_as_large_as_the_limit(http, settings) -> None:
    room = settings.max_body_bytes - len(json.dumps({**GOOD, "input": {"parts": [""] * 8}}))
    body = json.dumps({**GOOD, "input": {"parts": ["x" * (room // 8)] * 8}}).encode()
    assert settings.max_body_bytes - 8 <= len(body) <= settings.max_body_bytes
    response = await http.post("/v1/runs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 202


async def test_a_larger_body_is_refused_before_it_is_read(http, settings) -> None:
    body = b" " * (settings.max_body_bytes + 1)
    response = await http.post("/v1/runs", content=body, headers={"Content-Type": "application/json"})
    assert problem(response, 413) == "body_too_large"


async def test_a_larger_body_is_refused_though_it_comes_in_pieces(http, settings) -> None:
    async def pieces():
        for _ in range(settings.max_body_bytes // 65_536 + 1):
            yield b" " * 65_536

    response = await http.post("/v1/runs", content=pieces(), headers={"Content-Type": "application/json"})
    assert problem(response, 413) == "body_too_large"
