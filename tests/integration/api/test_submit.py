"""Submitting: what is accepted, what is answered, and what repeating it means."""

import asyncio

from agentfleet.api import schemas
from tests.integration.api.answers import problem


async def test_a_submitted_run_can_be_read(client, submit) -> None:
    run = await submit()
    schemas.Accepted.model_validate(run)
    found = await client.get(run["urls"]["self"])
    assert found.status_code == 200
    assert found.json()["input"] == "Hello?"


async def test_one_reused_key_spoils_nobody_elses_submit(client) -> None:
    await client.post("/v1/runs", json={"agent": "support", "input": "first"}, headers={"Idempotency-Key": "taken"})

    def post(n: int):
        headers = {"Idempotency-Key": "taken"} if n == 7 else {"Idempotency-Key": "twin"} if n in (3, 4) else {}
        return client.post("/v1/runs", json={"agent": "support", "input": "twin" if n in (3, 4) else f"run {n}"}, headers=headers)

    answers = await asyncio.gather(*(post(n) for n in range(20)))
    assert problem(answers.pop(7), 422) == "idempotency_key_reused"
    assert [answer.status_code for answer in answers] == [202] * 19
    assert len({answer.json()["id"] for answer in answers}) == 18
