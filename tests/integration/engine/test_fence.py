"""The fence: whoever has lost a step, for whatever reason, can change nothing about it any more."""

import pytest

from agentfleet.domain.errors import LeaseExpired, ProviderRejected, ProviderUnavailable, WorkerStopping
from agentfleet.domain.states import StepState
from agentfleet.store import steps
from tests.factories import claim, execute, make_step, make_tool, step_row, tally
from tests.integration.engine.outcomes import failed, finished, held, hold_again, returned, settle

pytestmark = pytest.mark.usefixtures("invariants_hold")

REDISPATCH = "UPDATE steps SET state = 'dispatched', dispatched_at = now() WHERE state = 'ready'"


async def test_a_zombie_worker_cannot_settle_a_reclaimed_step(db, database_url):
    made = await make_step(db, lease=-1)
    zombie = await hold_again(db, made.step_id)
    await settle(db, failed(zombie, LeaseExpired("gone"), rescue=True))
    execute(database_url, REDISPATCH)
    heir = await claim(db, made.step_id)
    assert heir.fence == zombie.fence + 1

    before = await step_row(db, made.step_id)
    assert await settle(db, finished(zombie, '"stale"')) == [False]
    assert await step_row(db, made.step_id) == before
    assert await settle(db, finished(heir, '"fresh"')) == [True]
    assert (await tally(db, made.run_id)).run.output == '"fresh"'


async def test_a_zombies_result_leaves_no_trace(db, database_url):
    made = await make_tool(db)
    zombie = held(made)
    await settle(db, failed(zombie, WorkerStopping("bye")))
    execute(database_url, REDISPATCH)
    await claim(db, made.step_id)
    before = await tally(db, made.run_id)
    for late in (returned(zombie), failed(zombie, ProviderUnavailable("x")), failed(zombie, WorkerStopping("bye"))):
        assert await settle(db, late) == [False]
    assert await tally(db, made.run_id) == before


async def test_a_zombie_cannot_renew_the_lease_of_its_heir(db, database_url):
    made = await make_tool(db)
    await settle(db, failed(held(made), WorkerStopping("bye")))
    execute(database_url, REDISPATCH)
    heir = await claim(db, made.step_id, lease=5)
    until = (await step_row(db, made.step_id)).lease_until
    assert await steps.renew(db, {made.step_id: made.fence}, lease=500) == {}
    assert (await step_row(db, made.step_id)).lease_until == until
    assert await steps.renew(db, {made.step_id: heir.fence}, lease=500) == {made.step_id: True}


async def test_a_settlement_counts_once(db):
    made = await make_tool(db)
    assert await settle(db, returned(held(made)), returned(held(made))) == [True, False]
    found = await tally(db, made.run_id)
    assert (len(found.attempts), found.run.tool_calls, len(found.messages), len(found.steps)) == (1, 1, 2, 2)


@pytest.mark.parametrize("state", [StepState.READY, StepState.DISPATCHED, StepState.WAITING])
async def test_only_a_running_step_can_be_settled(db, state):
    made = await make_tool(db, state=state)
    before = await step_row(db, made.step_id)
    assert await settle(db, returned(held(made))) == [False]
    assert await step_row(db, made.step_id) == before


async def test_a_dead_step_cannot_be_settled(db):
    made = await make_tool(db)
    await settle(db, failed(held(made), ProviderRejected("no")))
    assert await settle(db, returned(held(made))) == [False]
    assert (await tally(db, made.run_id)).states == ["dead"]


async def test_a_step_of_another_run_cannot_be_settled(db):
    mine, other = await make_tool(db), await make_tool(db)
    confused = held(mine)
    object.__setattr__(confused, "run_id", other.run_id)
    assert await settle(db, returned(confused)) == [False]
    assert (await tally(db, other.run_id)).run.tool_calls == 0
