"""Cancelling: at once, for good, and as often as one likes."""

import asyncio

import pytest
from sqlalchemy import select

from agentfleet.api import schemas
from agentfleet.domain.states import RunState
from agentfleet.store import api_keys, settlements
from agentfleet.store.tables import audit
from tests.integration.api.answers import problem


async def audited(db) -> list[tuple[str, str, str, str]]:
    async with db.reading() as connection:
        rows = await connection.execute(select(audit.c.tenant_id, audit.c.actor, audit.c.action, audit.c.object))
        return [tuple(row) for row in rows]


async def test_a_cancelled_run_is_over_when_the_answer_comes(client, submit, app_db, db, key) -> None:
    run = await submit()
    response = await client.post(run["urls"]["cancel"])
    assert response.status_code == 202
    found = schemas.Run.model_validate(response.json())
    assert found.status == "cancelled"
    assert found.error == {"class": "cancelled", "message": "cancelled by the client"}
    assert response.headers["etag"] == f'"{found.version}"'
    who = await api_keys.authenticate(app_db, key)
    assert who is not None
    assert await audited(db) == [("acme", who.key_id, "run.cancel", run["id"])]


async def test_cancelling_again_changes_nothing(client, submit, db) -> None:
    run = await submit()
    first = await client.post(run["urls"]["cancel"])
    again = await client.post(run["urls"]["cancel"])
    assert (again.status_code, again.content) == (200, first.content)
    assert len(await audited(db)) == 1


async def test_cancels_at_the_same_moment_all_succeed(client, submit) -> None:
    run = await submit()
    answers = await asyncio.gather(*(client.post(run["urls"]["cancel"]) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.EXPIRED])
async def test_a_run_that_ended_otherwise_stays_as_it_is(client, submit, hands, ingress, db, state: RunState) -> None:
    run = await submit()
    if state is RunState.SUCCEEDED:
        await hands.finish(run["id"])
    else:
        await ingress.canceller.end([run["id"]], state, "because", "of a test", tenant_id="acme")
    response = await client.post(run["urls"]["cancel"])
    assert problem(response, 409) == "run_ended"
    assert response.json()["status_of_run"] == state
    assert await audited(db) == []


async def test_a_worker_cannot_settle_a_step_of_a_cancelled_run(client, submit, hands) -> None:
    run = await submit()
    claimed = await hands.claim(run["id"])
    await client.post(run["urls"]["cancel"])
    written = await settlements.settle(hands.db, [(hands.answer(claimed), "hands:1")], window=1000)
    assert written.settled == set()
    assert (await client.get(run["urls"]["self"])).json()["status"] == "cancelled"
