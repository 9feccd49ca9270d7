"""Admission over a real Redis: each ``Admission`` stands for one process of the fleet."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import structlog
from redis.asyncio import Redis

from agentfleet.domain.admission import ASSUMED, FAILURES_TO_SHUT, Axes, Heard, Need, Pace
from agentfleet.domain.errors import ProviderBusy
from agentfleet.provider import admission as module
from agentfleet.provider.admission import Admission, axes

BUCKET = "acme/sonnet-5.5"
OTHER = "globex/sonnet-5.5"
LIMITS: Axes = (120.0, 60_000.0, 12_000.0)
PACE = Pace(burst=60, ramp_start=1.0, probe=600, turn=600)
"""A bucket holds a minute, is full at first, and does not ramp; queues and probes outlast every test."""
SMALL = Need(BUCKET, 20_000, 10)
"""Three fit, and the next one in twenty seconds."""
HUGE = Need(BUCKET, 60_000, 10)

Process = Callable[[], Admission]


@pytest.fixture
async def process(redis: Redis) -> AsyncIterator[Process]:
    """Makes processes of one fleet."""
    made = list[Admission]()

    def make() -> Admission:
        made.append(Admission(redis, prefix="test", pace=PACE, caps={}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def fleet(process: Process) -> tuple[Admission, Admission]:
    """Two processes, and a full bucket whose limits are known."""
    one, other = process(), process()
    one.listen(BUCKET, Heard(limits=LIMITS))
    await one.close()
    return one, other


async def told(*processes: Admission) -> None:
    """Everything that was reported has arrived."""
    for one in processes:
        await one.close()


async def levels(redis: Redis, bucket: str = BUCKET) -> tuple[float, ...]:
    found = await redis.hmget(f"test:bucket:{bucket}", ["levels1", "levels2", "levels3"])
    return tuple(float(value) for value in found)


def queue(*needs: Need) -> Axes:
    requests, inputs, outputs = zip(*map(axes, needs), strict=True)
    return sum(requests), sum(inputs), sum(outputs)


async def refused(admission: Admission, need: Need = SMALL, step_id: str = "newcomer") -> float:
    """Seconds to wait."""
    with pytest.raises(ProviderBusy) as caught:
        await admission.reserve(need, step_id)
    assert caught.value.need == need
    return caught.value.retry_after or 0.0


async def test_processes_share_one_bucket(fleet):
    one, other = fleet
    await one.reserve(HUGE, "a")
    assert await refused(other) == pytest.approx(20, abs=5)
    await other.reserve(Need(OTHER, 10, 10), "b")


async def test_what_was_not_used_is_there_for_everybody(fleet):
    one, other = fleet
    await one.reserve(HUGE, "a")
    one.settle(BUCKET, axes(HUGE), (1.0, 100.0, 10.0))
    await told(one)
    await other.reserve(SMALL, "b")


async def test_the_worker_of_an_admitted_step_takes_nothing_twice(fleet, redis):
    dispatcher, worker = fleet
    given = await dispatcher.admit(BUCKET, [("a", HUGE), ("b", SMALL)], queue(HUGE, SMALL))
    assert (given.admitted, given.limits) == (1, LIMITS)
    assert given.next_in is not None
    await worker.reserve(HUGE, "a")
    assert (await levels(redis))[1] == pytest.approx(0, abs=10_000), "only what was refilled since"
    await refused(worker, HUGE, "a")


async def test_what_comes_meanwhile_stands_behind_those_who_wait(fleet):
    dispatcher, worker = fleet
    await dispatcher.admit(BUCKET, [("a", HUGE), ("b", HUGE)], queue(HUGE, HUGE))
    dispatcher.settle(BUCKET, axes(HUGE), axes(SMALL))
    await told(dispatcher)
    assert await refused(worker) > 0, "there is room, but it is b's"
    assert (await dispatcher.admit(BUCKET, [("b", SMALL)], queue(SMALL))).admitted == 1
    await worker.reserve(SMALL, "newcomer")  # nobody waits any more


async def test_a_grant_is_void_when_the_provider_has_refused_somebody_since_and_its_tokens_go_back(fleet, redis):
    dispatcher, worker = fleet
    await dispatcher.admit(BUCKET, [("a", HUGE)], queue(HUGE))
    worker.limited(BUCKET, 30.0, growth=False)
    await told(worker)
    assert await refused(worker, HUGE, "a") == pytest.approx(30, abs=5)
    assert (await levels(redis))[1] == 60_000


async def test_the_one_that_was_let_through_to_look_passes_the_gate(fleet):
    dispatcher, worker = fleet
    short = Admission(worker._redis, prefix="test", pace=replace(PACE, probe=1e-6), caps={})
    for _ in range(FAILURES_TO_SHUT):
        short.overloaded(BUCKET)
    await told(short)
    given = await dispatcher.admit(BUCKET, [("a", SMALL), ("b", SMALL)], queue(SMALL, SMALL))
    dispatcher.overloaded(BUCKET)  # somebody else's: shut for the ten minutes of this pace
    await told(dispatcher)
    assert given.admitted == 1
    assert given.next_in is not None
    await worker.reserve(SMALL, "a")
    assert await refused(worker, SMALL, "b") > 500


async def test_not_even_the_one_that_looks_passes_before_the_retry_after(fleet):
    dispatcher, worker = fleet
    worker.park(BUCKET, 1e-6)
    await told(worker)
    assert (await dispatcher.admit(BUCKET, [("a", SMALL)], queue(SMALL))).admitted == 1
    worker.limited(BUCKET, 30.0, growth=False)
    await told(worker)
    assert await refused(worker, SMALL, "a") == pytest.approx(30, abs=5)


async def test_the_room_of_a_step_that_will_not_call_is_given_back_once(fleet, redis):
    dispatcher, worker = fleet
    await dispatcher.admit(BUCKET, [("a", SMALL), ("b", SMALL)], queue(SMALL, SMALL))
    await worker.reserve(SMALL, "b")
    for _ in range(3):
        dispatcher.revoke("a", SMALL)
        dispatcher.revoke("b", SMALL)
    await told(dispatcher)
    assert (await levels(redis))[1] == pytest.approx(40_000, abs=10_000), "b's worker has taken its own"


async def test_a_parked_account_is_looked_at_now_and_then_until_one_succeeds(fleet):
    one, other = fleet
    one.park(BUCKET, 600)
    await told(one)
    assert await refused(other) > 500
    assert await refused(other, Need("acme/haiku-5.5", 1, 1)) > 500, "all of its buckets"
    await other.reserve(Need(OTHER, 1, 1), "elsewhere")
    assert await one.parked(["acme", "globex"]) == {"acme"}
    one.park(BUCKET, 1e-6)
    one.succeeded(BUCKET, begun=1.0)
    await told(one)
    assert await one.parked(["acme"]) == {"acme"}, "a call that was under way before tells nothing"
    assert await one.resume("acme")
    assert not await one.resume("acme")
    assert (await other.admit(BUCKET, [("a", SMALL)], queue(SMALL))).admitted == 1


async def test_the_success_of_a_call_that_came_after_opens_the_account(fleet):
    one, other = fleet
    one.park(BUCKET, 1e-6)
    await told(one)
    begun = await other.reserve(SMALL, "a")
    other.succeeded(BUCKET, begun)
    await told(other)
    assert await one.parked(["acme"]) == frozenset()


async def test_a_redis_that_has_lost_all_is_told_again_and_begins_carefully(fleet, redis):
    one, other = fleet
    await one.reserve(SMALL, "a")
    await redis.flushall()
    await redis.script_flush()
    with structlog.testing.capture_logs() as logs:
        await one.reserve(SMALL, "b")
        await other.reserve(SMALL, "c")
    assert logs == [], "nobody went on alone"
    limit = await redis.hget(f"test:bucket:{BUCKET}", "limits1")
    assert float(limit) == ASSUMED[0], "what nobody has told yet is not expected"
    one.listen(BUCKET, Heard(limits=LIMITS))
    await told(one)
    found = await redis.hmget(f"test:bucket:{BUCKET}", ["limits1", "limits2", "limits3"])
    assert tuple(map(float, found)) == LIMITS


async def test_lost_connections_are_made_again(fleet, redis):
    one, other = fleet
    await asyncio.gather(one.reserve(SMALL, "a"), other.reserve(SMALL, "b"))
    await redis.connection_pool.disconnect(inuse_connections=True)
    with structlog.testing.capture_logs() as logs:
        await one.reserve(SMALL, "c")
    assert logs == []


@pytest.fixture
def away(free_port: int, monkeypatch) -> Redis:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    return Redis(host="127.0.0.1", port=free_port)


@pytest.fixture
async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_without_redis_a_process_goes_on_alone_and_carefully(away):
    lone = Admission(away, prefix="test", pace=PACE, caps={})
    with structlog.testing.capture_logs() as logs:
        found = await asyncio.gather(*(lone.reserve(SMALL, f"s{n}") for n in range(10)), return_exceptions=True)
    assert [type(one) for one in found].count(float) == 3, "as many as of a bucket that nobody knows"
    assert {type(one) for one in found} == {float, ProviderBusy}
    assert {line["event"] for line in logs} == {"admission_alone"}
    lone = Admission(away, prefix="test", pace=PACE, caps={})
    lone.limited(BUCKET, 30.0, growth=False)
    assert await refused(lone) == pytest.approx(30, abs=5), "and what it is told, it obeys"
    assert await lone.parked(["acme"]) == frozenset()
    assert not await lone.shut(BUCKET)
    await lone.close()
    await away.aclose()


async def test_ones_own_caps_hold_without_redis(away):
    lone = Admission(away, prefix="test", pace=PACE, caps={"sonnet-5.5": (1e12, 20_000.0, 1e12)})
    lone.listen(BUCKET, Heard(limits=LIMITS))
    await lone.reserve(SMALL, "a")
    assert await refused(lone, step_id="b") == pytest.approx(60, abs=5)
    await away.aclose()


async def test_ones_own_caps_hold_for_a_group_or_for_one_bucket(redis):
    caps = {"sonnet-5.5": (30.0, 1e12, 1e12), BUCKET: (90.0, 1e12, 1e12)}
    one = Admission(redis, prefix="test", pace=PACE, caps=caps)
    for bucket in (BUCKET, OTHER, "acme/haiku-5.5"):
        one.listen(bucket, Heard(limits=LIMITS))
    await told(one)
    limits = [await redis.hget(f"test:bucket:{bucket}", "limits1") for bucket in (BUCKET, OTHER, "acme/haiku-5.5")]
    assert [float(limit) for limit in limits] == [90.0, 30.0, 120.0]


async def test_a_limit_of_nothing_is_not_learned(redis, away):
    """No time would come at which a call fits, and nobody would ever ask again."""
    for server in (redis, away):
        one = Admission(server, prefix="test", pace=PACE, caps={})
        one.listen(BUCKET, Heard(limits=(0.0, 0.0, 0.0)))
        await told(one)
        one.listen(BUCKET, Heard(limits=(120.0, 0.0, 12_000.0)))
        await told(one)
        assert await one.reserve(SMALL, "a") >= 0
    await away.aclose()
