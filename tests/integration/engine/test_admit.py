"""Admit: who waits for the provider goes on in fair order, once, as soon as there is room. On real servers."""

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import OperationalError
from redis.exceptions import ResponseError

from agentfleet import failpoints
from agentfleet.domain.admission import Need
from agentfleet.domain.errors import ProviderBusy, ProviderRateLimited
from agentfleet.domain.states import RunState
from agentfleet.engine.admit import LOOK_EVERY
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.promote import Promoter
from agentfleet.engine.republish import Republisher
from agentfleet.store.steps import ADMISSION_SLACK
from tests.factories import POOL, execute, make_run, step_row, submit, tally
from tests.integration.engine.queues import BACKLOG, BUCKET, EACH, Time, admitter, fill, owners, room, waiting
from tests.scripted import Bells, Script, Worker, answer


@pytest.mark.usefixtures("invariants_hold")
async def test_who_waits_is_dispatched_once_and_oldest_first_as_far_as_there_is_room(db, bells, admission):
    made = [await waiting(db) for _ in range(12)]
    admit = admitter(db, bells, admission)
    assert await admit.run_once() == 10
    assert await admit.run_once() == 0
    assert sorted(bells.take()) == sorted(one.step_id for one in made[:10])
    row = await step_row(db, made[0].step_id)
    assert (row.state, row.bucket, row.blocked_on, row.not_before) == ("dispatched", None, None, None)
    found = await tally(db, made[0].run_id)
    assert (found.run.state, found.run.waiting_steps, found.run.blocked_on) == ("running", 0, None)
    assert [(await step_row(db, one.step_id)).state for one in made[10:]] == ["waiting"] * 2


@pytest.mark.usefixtures("invariants_hold")
async def test_its_worker_finds_what_was_taken_for_it(db, bells, admission, redis):
    async def meter(request):
        await admission.reserve(Need(BUCKET, 60_000, 100), request.step_id)

    made = await waiting(db, input_estimate=60_000, fence=1)
    assert await admitter(db, bells, admission).run_once() == 1
    worker = Worker(db, bells, Script([answer()], before=meter))
    assert await worker.work() == 1
    assert (await tally(db, made.run_id)).run.state == "succeeded"


@pytest.mark.usefixtures("invariants_hold")
async def test_a_refused_step_waits_in_the_queue_of_its_bucket_and_comes_back(db, bells, admission, redis):
    async def refuse(request):
        if len(worker.model.calls) == 1:
            busy = ProviderBusy("no room", retry_after=100.0)
            busy.need = EACH
            raise busy

    worker = Worker(db, bells, Script([answer()], before=refuse))
    accepted = await submit(db)
    await worker.execute(accepted.step_id)
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.bucket, row.input_estimate, row.attempt) == ("waiting", BUCKET, 6_000, 0)
    assert bells.woken == [POOL], "its dispatcher need not find it by looking"
    assert await admitter(db, bells, admission).run_once() == 1
    await worker.work()
    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.steps[0].attempt) == ("succeeded", 1)


async def test_tenants_share_by_weight_whatever_their_backlogs_and_priorities(
    db, bells, bundle, admission, database_url
):
    execute(database_url, "INSERT INTO tenants (id, weight) VALUES ('double', 2)")
    execute(database_url, BACKLOG, "loud", 200, 9, BUCKET, 2_000)
    execute(database_url, BACKLOG, "double", 200, 0, BUCKET, 2_000)
    execute(database_url, BACKLOG, "quiet", 2, 0, BUCKET, 2_000)
    assert await admitter(db, bells, admission).run_once() == 30
    got = await owners(db, bells.take())
    assert got["quiet"] == 2, "the few are not held up by the many"
    assert 8 <= got["loud"] <= 10
    assert 18 <= got["double"] <= 20


@pytest.mark.usefixtures("invariants_hold")
async def test_within_a_tenant_higher_priority_goes_first(db, bells, admission, redis):
    low, high, low_too, highest = [await waiting(db, priority=n, input_estimate=60_000) for n in (0, 5, 0, 9)]
    order = []
    for _ in range(4):
        admit = admitter(db, bells, admission)
        assert await admit.run_once() == 1
        order += bells.take()
        await fill(redis)
    assert order == [one.step_id for one in (highest, high, low, low_too)]


@pytest.mark.usefixtures("invariants_hold")
async def test_a_cancelled_runs_step_is_not_admitted_and_its_room_is_given_back(db, bells, admission, redis):
    time = Time()
    admit = admitter(db, bells, admission, time)
    fits = [await waiting(db, tenant="other", input_estimate=54_000)]
    cancelled = await waiting(db, input_estimate=54_000)
    assert await admit.run_once() == 1  # both were seen, one fits
    [first] = bells.take()
    left = cancelled if first == fits[0].step_id else fits[0]
    await Canceller(db, bells).cancel(left.run_id)
    await fill(redis)
    admit._queues[BUCKET].next_at = 0.0  # before the next look
    assert await admit.run_once() == 0
    await admission.close()
    assert await room(redis) == pytest.approx(60_000, abs=1), "nobody used it"
    assert (await step_row(db, left.step_id)).state == "cancelled"
    assert bells.take() == []


async def test_a_paused_runs_steps_wait_and_hold_up_nobody(db, bells, admission, bundle):
    run_id = await make_run(db, RunState.PAUSED, steps_total=60, open_steps=60, waiting_steps=60)
    for seq in range(60):
        await waiting(db, run_id=run_id, seq=seq)
    behind = await waiting(db)
    admit = admitter(db, bells, admission)
    assert await admit.run_once() == 1
    assert bells.take() == [behind.step_id]
    assert await admit.run_once() == 0


@pytest.mark.usefixtures("invariants_hold")
async def test_a_run_that_somebody_holds_at_this_moment_is_admitted_later(db, bells, admission, redis, database_url):
    made, time = await waiting(db, input_estimate=30_000), Time()
    admit = admitter(db, bells, admission, time)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("SELECT FROM runs WHERE id = %s FOR UPDATE", (made.run_id,))
        assert await admit.run_once() == 0
        await admission.close()
        assert await room(redis) == 60_000
    time.now += LOOK_EVERY
    assert await admit.run_once() == 1
    assert bells.take() == [made.step_id]


async def test_two_dispatchers_at_once_double_nothing(db, other_db, bells, bundle, admission, database_url, redis):
    execute(database_url, BACKLOG, "acme", 200, 0, BUCKET, 600)
    others = Bells()
    time = Time()
    here, there = admitter(db, bells, admission, time), admitter(other_db, others, admission, time)
    for _ in range(4):
        await asyncio.gather(here.run_once(), there.run_once())
        await admission.close()
        await fill(redis)
        time.now += LOOK_EVERY
    rung = bells.take() + others.take()
    assert len(rung) == len(set(rung))
    [(dispatched,)] = execute(database_url, "SELECT count(*) FROM steps WHERE state = 'dispatched'")
    assert dispatched == len(rung)


@pytest.fixture
def fail() -> Iterator[Callable[[str], None]]:
    yield failpoints.arm
    failpoints.arm(None)


@pytest.mark.usefixtures("invariants_hold")
@pytest.mark.parametrize("point", ["waiting_buckets", "next_waiting", "admit_steps", "expect_waiting"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_dispatcher_that_dies_in_a_round_leaves_it_to_the_next_one(
    db, bells, admission, fail, redis, point, when
):
    made = {(await waiting(db, input_estimate=40_000)).step_id for _ in range(2)}
    fail(f"{point}.{when}:raise")
    with pytest.raises(OperationalError):
        await admitter(db, bells, admission).run_once()
    fail(None)
    for _ in range(3):  # what the dead one took is gone until it is refilled
        await admitter(db, bells, admission).run_once()
        await fill(redis)
    republisher = Republisher(db, bells, pool=POOL, after=0.0, empty=_empty)
    await republisher.run_once()  # whose message was lost
    assert set(bells.take()) == made
    assert {(await step_row(db, step_id)).state for step_id in made} == {"dispatched"}


async def _empty() -> bool:
    return True


@pytest.mark.usefixtures("invariants_hold")
async def test_what_nobody_admits_is_promoted_half_a_minute_after_its_time(db, bells, clock):
    made = await waiting(db, due=10)
    promoter = Promoter(db, bells)
    clock.advance(10 + ADMISSION_SLACK - 5)
    assert await promoter.run_once() == 0
    clock.advance(10)
    assert await promoter.run_once() == 1
    assert (await step_row(db, made.step_id)).bucket is None
    assert await Dispatcher(db, bells, pool=POOL, window=10).run_once() == 1


@pytest.mark.usefixtures("invariants_hold")
async def test_a_bucket_that_opens_early_is_noticed(db, bells, admission, redis):
    """A retry-after of minutes, a parked account that a human resumes: the queue asks again long before that."""
    await waiting(db)
    admission.park(BUCKET, 600)
    await admission.close()
    time = Time()
    admit = admitter(db, bells, admission, time)
    assert await admit.run_once() == 0
    await admission.resume("acme")
    time.now += LOOK_EVERY
    assert await admit.run_once() == 1


async def test_a_round_that_fails_is_not_tried_again_at_once_and_holds_up_no_other_bucket(db, bells, admission, redis):
    await waiting(db)
    await waiting(db, bucket="globex/sonnet-5.5")
    await redis.set(f"test:bucket:{BUCKET}", "not a hash")
    time = Time()
    admit = admitter(db, bells, admission, time)
    with pytest.raises(ResponseError):
        await admit.run_once()
    assert await admit.run_once() == 1
    assert await admit.run_once() == 0
    time.now += LOOK_EVERY
    with pytest.raises(ResponseError):
        await admit.run_once()


async def test_a_rate_limited_step_is_queued_with_its_need(db, bells, admission):
    async def limited(request):
        error = ProviderRateLimited("429", status=429, retry_after=30.0)
        error.need = EACH
        raise error

    worker = Worker(db, bells, Script([answer()], before=limited))
    accepted = await submit(db)
    await worker.execute(accepted.step_id)
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.bucket, row.blocked_on, row.attempt) == ("waiting", BUCKET, "provider", 0)
