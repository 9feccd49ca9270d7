"""Idempotency-Key: repeating a request is harmless, and never mistaken for another one."""

import asyncio

from sqlalchemy import func, select

from agentfleet.store.tables import runs
from tests.integration.api.answers import problem

BODY = {"agent": "support", "input": "x", "metadata": {"a": "1", "b": "2"}}
KEY = {"Idempotency-Key": "order-17"}


async def test_the_same_request_again_is_the_same_run(client) -> None:
    first = await client.post("/v1/runs", json=BODY, headers=KEY)
    again = await client.post("/v1/runs", json=BODY, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_order_of_a_bodys_keys_does_not_matter(client) -> None:
    first = await client.post("/v1/runs", json=BODY, headers=KEY)
    turned = {"metadata": {"b": "2", "a": "1"}, "input": "x", "agent": "support"}
    assert (await client.post("/v1/runs", json=turned, headers=KEY)).json()["id"] == first.json()["id"]


async def test_a_replay_tells_how_the_run_is_now(client, hands) -> None:
    run = (await client.post("/v1/runs", json=BODY, headers=KEY)).json()
    await hands.finish(run["id"])
    again = await client.post("/v1/runs", json=BODY, headers=KEY)
    assert (again.status_code, again.json()["status"]) == (202, "succeeded")
    waited = await client.post("/v1/runs", json=BODY, headers={**KEY, "Prefer": "wait=5"})
    assert (waited.status_code, waited.json()["output"]) == (200, "Done.")


async def test_another_body_under_the_same_key_is_refused(client, db) -> None:
    await client.post("/v1/runs", json=BODY, headers=KEY)
    response = await client.post("/v1/runs", json={**BODY, "input": "y"}, headers=KEY)
    assert problem(response, 422) == "idempotency_key_reused"
    async with db.reading() as connection:
        assert await connection.scalar(select(func.count()).select_from(runs)) == 1


async def test_the_same_key_of_another_tenant_is_another_key(client, connect, other_key) -> None:
    mine = await client.post("/v1/runs", json=BODY, headers=KEY)
    theirs = await connect(other_key).post("/v1/runs", json={**BODY, "input": "y"}, headers=KEY)
    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine.json()["id"]


async def test_repetitions_at_the_same_moment_make_one_run(client, db) -> None:
    answers = await asyncio.gather(*(client.post("/v1/runs", json=BODY, headers=KEY) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    async with db.reading() as connection:
        assert await connection.scalar(select(func.count()).select_from(runs)) == 1


async def test_one_reused_key_spoils_nobody_elses_submit(client) -> None:
    await client.post("/v1/runs", json=BODY, headers=KEY)
    answers = await asyncio.gather(*(
        client.post("/v1/runs", json={**BODY, "input": f"run {n}"}, headers=KEY if n == 7 else {}) for n in range(20)
    ))  # fmt: skip
    assert problem(answers.pop(7), 422) == "idempotency_key_reused"
    assert [answer.status_code for answer in answers] == [202] * 19
    assert len({answer.json()["id"] for answer in answers}) == 19


async def test_a_key_that_cannot_be_one_is_refused(client) -> None:
    for given in ("", "x" * 256, "a\tb", "caf\u00e9".encode("latin-1")):
        response = await client.post("/v1/runs", json=BODY, headers={"Idempotency-Key": given})
        assert problem(response, 400) == "invalid_header"
        assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


async def test_two_keys_are_none(client) -> None:
    response = await client.post("/v1/runs", json=BODY, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert problem(response, 400) == "invalid_header"


async def test_the_longest_key_is_accepted(client) -> None:
    assert (await client.post("/v1/runs", json=BODY, headers={"Idempotency-Key": "~ " * 127 + "~"})).status_code == 202
