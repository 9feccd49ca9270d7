"""Republish: a message that was probably lost is sent again, soon, and without floods."""

import pytest

from agentfleet.domain.states import StepState
from agentfleet.engine.republish import Republisher
from tests.factories import POOL, claim, execute, make_step, submit
from tests.scripted import Bells, Script, Worker, answer

pytestmark = pytest.mark.usefixtures("invariants_hold")

SLOW = """
INSERT INTO attempts (step_id, fence, attempt, outcome, dispatched_at, claimed_at, finished_at)
SELECT %s, 100 + n, 1, 'retry', now() - make_interval(secs => %s), now(), now() FROM generate_series(1, 100) n
"""
"""A hundred recent attempts whose messages took this long."""


def republisher(db, bells, after: float = 600) -> Republisher:
    return Republisher(db, bells, pool=POOL, after=after)


async def test_a_lost_message_is_sent_again_after_a_while_and_not_before(db, bells, clock):
    accepted = await submit(db)
    assert await republisher(db, bells).run_once() == 0
    clock.advance(500)
    assert await republisher(db, bells).run_once() == 0
    clock.advance(101)
    assert await republisher(db, bells).run_once() == 1
    [bell] = bells.rung
    assert (bell.step_id, bell.run_id, bell.pool, bell.attempt) == (accepted.step_id, accepted.run_id, POOL, 1)


async def test_it_waits_again_before_the_next_copy(db, bells, clock):
    await submit(db)
    clock.advance(601)
    republish = republisher(db, bells)
    assert [await republish.run_once() for _ in range(2)] == [1, 0]
    clock.advance(601)
    assert await republish.run_once() == 1


@pytest.mark.parametrize(("took", "early", "late"), [(10, 20, 15), (1000, 50, 15)])
async def test_while_messages_are_slow_it_waits_three_times_their_p99_and_at_most_a_minute(
    db, bells, clock, database_url, took, early, late
):
    made = await make_step(db, StepState.DISPATCHED)
    execute(database_url, SLOW, made.step_id, took)
    republish = republisher(db, bells, after=5)
    clock.advance(early)
    assert await republish.run_once() == 0
    clock.advance(late)
    assert await republish.run_once() == 1


async def test_while_messages_are_slow_an_empty_queue_has_lost_them_all(db, bells, clock, database_url):
    async def empty() -> bool:
        return True

    made = await make_step(db, StepState.DISPATCHED)
    execute(database_url, SLOW, made.step_id, 1000)
    republish = Republisher(db, bells, pool=POOL, after=5, empty=empty)
    clock.advance(4)
    assert await republish.run_once() == 0, "a worker may be claiming it"
    clock.advance(2)
    assert await republish.run_once() == 1


async def test_only_dispatched_steps_are_sent_again(db, bells, clock):
    accepted = await submit(db)
    await claim(db, accepted.step_id)
    for state in (StepState.READY, StepState.WAITING, StepState.RUNNING):
        await make_step(db, state)
    clock.advance(10_000)
    assert await republisher(db, bells).run_once() == 0


async def test_a_run_survives_the_loss_of_every_message(db, clock):
    """Killed between commit and publish, or FLUSHALL: the row is the truth."""
    bells = Bells(lossy=True)
    worker = Worker(db, bells, Script([answer()]))
    accepted = await submit(db)
    bells.lossy = False
    assert await worker.work() == 0
    clock.advance(601)
    await republisher(db, bells).run_once()
    assert await worker.work() == 1
    assert worker.model.calls == [accepted.step_id]


async def test_a_spare_copy_of_a_message_runs_nothing(db, bells, clock):
    await submit(db)
    republish = republisher(db, bells)
    for _ in range(3):
        clock.advance(601)
        assert await republish.run_once() == 1
    worker = Worker(db, bells, Script([answer()]))
    assert await worker.work() == 1
    assert len(worker.model.calls) == 1
