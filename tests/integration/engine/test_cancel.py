"""Cancel and expire: runs end at once, whatever their steps are doing, and what their workers send later is dropped."""

import pytest

from agentfleet.domain.errors import ProviderRejected, ProviderUnavailable
from agentfleet.domain.states import RUN_FINAL, RunState, StepState
from agentfleet.engine.cancel import Canceller, Expirer
from agentfleet.engine.claim import Claims
from agentfleet.engine.settle import Settler
from agentfleet.store import settlements
from tests.factories import LEASE, claim, make_run, make_step, make_tool, submit, tally
from tests.integration.engine.locks import Uncommitted, as_database, overtaken
from tests.integration.engine.outcomes import asked_for, failed, finished, held, returned, settle

OPEN = [StepState.READY, StepState.DISPATCHED, StepState.RUNNING, StepState.WAITING, StepState.DEAD]


@pytest.mark.parametrize("state", OPEN)
async def test_a_run_can_be_cancelled_in_every_state_of_its_step(db, bells, state):
    made = await make_step(db, state)
    assert await Canceller(db, bells).cancel(made.run_id, reason="enough")

    found = await tally(db, made.run_id)
    assert (found.run.state, found.run.open_steps, found.run.waiting_steps) == ("cancelled", 0, 0)
    assert found.states == ["cancelled"]
    assert "enough" in found.run.error
    assert [e.type for e in found.events] == ["run.cancelled"]
    assert bells.revoked == ([made.step_id] if state is StepState.RUNNING else [])


@pytest.mark.parametrize("state", sorted(RUN_FINAL))
async def test_an_ended_run_stays_as_it_is(db, bells, state):
    run_id = await make_run(db, state)
    before = (await tally(db, run_id)).run
    assert not await Canceller(db, bells).cancel(run_id)
    assert (await tally(db, run_id)).run == before


async def test_a_result_that_comes_after_the_cancel_is_dropped(db, bells):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    await Canceller(db, bells).cancel(accepted.run_id)
    assert await settle(db, finished(claimed)) == [False]

    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.run.output, len(found.messages)) == ("cancelled", None, 1)
    assert [a.outcome for a in found.attempts] == ["cancel"]


async def test_a_cancelled_step_cannot_be_claimed(db, bells):
    accepted = await submit(db)
    await Canceller(db, bells).cancel(accepted.run_id)
    assert await Claims(db, worker="w:1", lease=LEASE)(accepted.step_id) is None


async def test_cancelling_discards_the_open_dead_letter(db, bells, invariants_hold):
    made = await make_tool(db)
    await settle(db, failed(held(made), ProviderRejected("no")))
    await Canceller(db, bells).cancel(made.run_id)
    assert [letter.state for letter in (await tally(db, made.run_id)).dead_letters] == ["discarded"]


async def test_a_cancel_that_waited_for_a_settle_also_ends_the_steps_which_that_created(
    db, bells, database_url, invariants_hold
):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    async with Uncommitted(database_url) as worker:
        await settlements.settle(as_database(worker), [(asked_for(claimed, "look", "pay"), "w:1")], window=10)
        assert await overtaken(database_url, worker, Canceller(db, bells).cancel(accepted.run_id))
    assert (await tally(db, accepted.run_id)).states == ["succeeded", "cancelled", "cancelled"]


async def test_a_cancel_that_waited_for_a_burial_also_discards_its_dead_letter(
    db, bells, database_url, invariants_hold
):
    made = await make_tool(db)
    async with Uncommitted(database_url) as worker:
        await settlements.settle(as_database(worker), [(failed(held(made), ProviderRejected("no")), "w:1")], window=10)
        assert await overtaken(database_url, worker, Canceller(db, bells).cancel(made.run_id))


async def test_only_the_own_tenants_runs_can_be_cancelled(app_db, db, bells):
    made = await make_step(db, tenant="acme")
    assert not await Canceller(app_db, bells).cancel(made.run_id, tenant_id="rival")
    assert (await tally(db, made.run_id)).run.state == "running"
    assert await Canceller(app_db, bells).cancel(made.run_id, tenant_id="acme")


async def test_a_run_expires_when_its_deadline_has_passed_and_not_before(db, bells, clock, invariants_hold):
    accepted = await submit(db, deadline=3600.0)
    forever = await submit(db)
    expirer = Expirer(db, Canceller(db, bells))
    assert await expirer.run_once() == 0
    clock.advance(3601)
    assert await expirer.run_once() == 1
    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.states) == ("expired", ["cancelled"])
    assert (await tally(db, forever.run_id)).run.state == "queued"


async def test_a_waiting_run_can_expire(db, bells, clock, invariants_hold):
    accepted = await submit(db, deadline=3600.0)
    await settle(db, failed(await claim(db, accepted.step_id), ProviderUnavailable("later")))
    clock.advance(3601)
    assert await Expirer(db, Canceller(db, bells)).run_once() == 1
    assert (await tally(db, accepted.run_id)).run.state == RunState.EXPIRED


async def test_a_cancel_ends_every_sibling(db, bells, invariants_hold):
    accepted = await submit(db)
    await settle(db, asked_for(await claim(db, accepted.step_id), "look", "book", "pay"))
    tools = [str(s.id) for s in (await tally(db, accepted.run_id)).steps[1:]]
    claimed = [await claim(db, step_id) for step_id in tools[:2]]
    settler = Settler(db, bells, window=10)
    assert await settler(returned(claimed[0]), "test:1")
    await Canceller(db, bells).cancel(accepted.run_id)
    assert (await tally(db, accepted.run_id)).states == ["succeeded", "succeeded", "cancelled", "cancelled"]
    assert bells.revoked == [claimed[1].step_id]
