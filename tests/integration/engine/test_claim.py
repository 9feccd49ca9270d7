"""Claim: a message is worth one execution of a dispatched step, and nothing else."""

import asyncio
import uuid

import pytest

from agentfleet.domain.states import RunState, StepState
from agentfleet.engine.claim import Claims
from agentfleet.engine.settle import Settler
from tests.factories import LEASE, TENANT, claim, make_step, make_tool, step_row, submit, tally
from tests.integration.engine.outcomes import finished

STALE = [state for state in StepState if state is not StepState.DISPATCHED]


async def test_a_claim_raises_the_fence_takes_a_lease_and_starts_the_run(db):
    accepted = await submit(db)
    claimed = await Claims(db, worker="w:1", lease=LEASE)(accepted.step_id)

    assert claimed is not None
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.fence, row.attempt, row.worker) == ("running", 1, 1, "w:1")
    assert row.lease_until is not None
    assert (claimed.fence, claimed.attempt, claimed.tenant_id, claimed.run_id) == (1, 1, TENANT, accepted.run_id)
    assert (await tally(db, accepted.run_id)).run.state == RunState.RUNNING


async def test_a_reason_step_brings_the_conversation_and_a_tool_step_does_not(db):
    accepted, tool = await submit(db), await make_tool(db, state=StepState.DISPATCHED)
    claims = Claims(db, worker="w:1", lease=LEASE)
    reason, call = await claims(accepted.step_id), await claims(tool.step_id)
    assert [(m.turn, m.role, m.content) for m in reason.conversation] == [(0, "user", '[{"type":"text","text":"Go."}]')]
    assert call.conversation == ()


async def test_a_message_delivered_many_times_in_one_batch_is_claimed_once(db):
    accepted = await submit(db)
    claims = Claims(db, worker="w:1", lease=LEASE)
    claimed = await asyncio.gather(*(claims(accepted.step_id) for _ in range(20)))
    assert sum(one is not None for one in claimed) == 1
    assert (await step_row(db, accepted.step_id)).fence == 1


async def test_two_workers_racing_for_the_same_steps_get_each_exactly_once(db, other_db):
    ids = [(await submit(db)).step_id for _ in range(30)]
    workers = [Claims(one, worker=name, lease=LEASE) for one, name in ((db, "w:1"), (other_db, "w:2"))]
    barrier = asyncio.Barrier(2)

    async def race(claims: Claims, order: list[str]):
        await barrier.wait()
        return await asyncio.gather(*map(claims, order))

    mine, theirs = await asyncio.gather(race(workers[0], ids), race(workers[1], ids[::-1]))
    won = [one.step_id for one in (*mine, *theirs) if one is not None]
    assert sorted(won) == sorted(ids)
    assert {(await step_row(db, step_id)).fence for step_id in ids} == {1}


async def test_an_unknown_step_cannot_be_claimed_and_does_not_harm_its_batch(db):
    accepted = await submit(db)
    claims = Claims(db, worker="w:1", lease=LEASE)
    forged, real = await asyncio.gather(claims(str(uuid.uuid4())), claims(accepted.step_id))
    assert forged is None
    assert real is not None


@pytest.mark.parametrize("state", STALE)
async def test_a_message_for_a_step_that_is_not_dispatched_is_stale(db, state):
    made = await make_step(db, state)
    assert await Claims(db, worker="w:1", lease=LEASE)(made.step_id) is None
    row = await step_row(db, made.step_id)
    assert (row.state, row.fence) == (state, made.fence)


async def test_a_second_delivery_after_the_settle_is_stale(db, bells):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    assert await Settler(db, bells, window=10)(finished(claimed), "test:1")
    assert await Claims(db, worker="w:1", lease=LEASE)(accepted.step_id) is None
