"""Retries: rows that wait in Postgres; the decisions are the domain's, the counting is here."""

import pytest

from agentfleet.domain.errors import (
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    WorkerStopping,
)  # fmt: skip
from agentfleet.domain.model import Bundle
from agentfleet.engine.promote import Promoter
from tests.factories import BUNDLE, POOL, claim, execute, make_siblings, save_bundle, step_row, submit, tally
from tests.integration.engine.outcomes import failed, held, hold_again, returned, settle
from tests.scripted import Script, Worker, answer

pytestmark = pytest.mark.usefixtures("invariants_hold")

REDISPATCH = "UPDATE steps SET state = 'dispatched', dispatched_at = now() WHERE state = 'ready'"


async def test_a_failed_attempt_waits_and_says_for_what(db):
    accepted = await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), ProviderUnavailable("broken", retry_after=1000)))
    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.run.blocked_on, found.run.waiting_steps) == ("waiting", "timer", 1)
    assert found.states == ["waiting"]
    assert (found.steps[0].attempt, found.steps[0].lease_until) == (1, None)
    assert [e.type for e in found.events] == ["run.queued", "step.retrying"]


async def test_a_waiting_step_is_promoted_when_it_is_due_and_not_before(db, bells, clock):
    accepted = await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), ProviderUnavailable("broken", retry_after=1000)))
    promoter = Promoter(db, bells)
    assert await promoter.run_once() == 0
    clock.advance(1001)
    assert await promoter.run_once() == 1
    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.run.blocked_on, found.states) == ("running", None, ["ready"])
    assert bells.woken == [POOL]
    assert await promoter.run_once() == 0


async def test_one_due_step_of_a_waiting_run_sets_it_running(db, bells, clock):
    first, second = await make_siblings(db, 2)
    await settle(db, failed(held(first), ProviderUnavailable("x", retry_after=100)))
    await settle(db, failed(held(second, 1), ProviderUnavailable("x", retry_after=9000)))
    assert (await tally(db, first.run_id)).run.state == "waiting"
    clock.advance(101)
    assert await Promoter(db, bells).run_once() == 1
    run = (await tally(db, first.run_id)).run
    assert (run.state, run.waiting_steps) == ("running", 1)


async def test_spent_attempts_end_in_a_dead_letter(db, bells, clock, database_url):
    accepted = await submit(db)
    for attempt in range(1, 4):
        claimed = await claim(db, accepted.step_id)
        assert claimed.attempt == attempt
        await settle(db, failed(claimed, ProviderUnavailable("broken"), max_attempts=3))
        clock.advance(1000)
        await Promoter(db, bells).run_once()
        execute(database_url, REDISPATCH)
    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.states, len(found.attempts)) == ("needs_review", ["dead"], 3)
    [letter] = found.dead_letters
    assert (letter.verdict, letter.state) == ("backoff", "open")
    assert [e.type for e in found.events][-2:] == ["step.dead", "run.needs_review"]


@pytest.mark.parametrize(
    "refusal", [ProviderRateLimited("429", retry_after=1), ProviderOverloaded("529"), ProviderParked("spend cap")]
)
async def test_refusals_of_the_provider_cost_no_attempt_however_often_they_come(
    db, bells, clock, database_url, refusal
):
    accepted = await submit(db)
    for _ in range(12):
        await settle(db, failed(await claim(db, accepted.step_id), refusal, max_attempts=2))
        assert (await tally(db, accepted.run_id)).run.blocked_on == "provider"
        clock.advance(10_000)
        assert await Promoter(db, bells).run_once() == 1
        execute(database_url, REDISPATCH)
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.attempt, row.snoozes, row.fence) == ("dispatched", 0, 12, 12)
    assert (await claim(db, accepted.step_id)).attempt == 1


async def test_another_outcome_ends_the_row_of_snoozes(db, bells, clock, database_url):
    accepted = await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), ProviderOverloaded("529")))
    clock.advance(1000)
    await Promoter(db, bells).run_once()
    execute(database_url, REDISPATCH)
    await settle(db, failed(await claim(db, accepted.step_id), WorkerStopping("bye")))
    assert (await step_row(db, accepted.step_id)).snoozes == 0


async def test_a_permanent_failure_is_buried_at_once(db):
    accepted = await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), ProviderRejected("no such model")))
    found = await tally(db, accepted.run_id)
    assert (found.states, [letter.verdict for letter in found.dead_letters]) == (["dead"], ["permanent"])


async def test_a_step_handed_back_is_ready_at_once_and_keeps_its_attempts(db):
    accepted = await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), WorkerStopping("bye")))
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.attempt, row.crashes) == ("ready", 0, 0)


async def test_an_agents_own_attempts_overrule_the_fleets(db, bells):
    async def broken(request):
        raise ProviderUnavailable("broken")

    patient = Bundle("patient", BUNDLE.agent, {**BUNDLE.spec, "max_attempts": 1})
    await save_bundle(db, patient)
    accepted = await submit(db, bundle_id=patient.id)
    worker = Worker(db, bells, Script([answer()], broken))
    assert await worker.execute(accepted.step_id) == "bury"


async def test_a_failed_sibling_goes_on_alone(db, bells, clock, database_url):
    first, second = await make_siblings(db, 2)
    await settle(db, failed(held(first), ProviderUnavailable("x")), returned(held(second, 1)))
    clock.advance(1000)
    await Promoter(db, bells).run_once()
    execute(database_url, REDISPATCH)
    await claim(db, first.step_id)
    await settle(db, returned(await hold_again(db, first.step_id)))
    assert (await tally(db, first.run_id)).states == ["succeeded", "succeeded", "dispatched"]
