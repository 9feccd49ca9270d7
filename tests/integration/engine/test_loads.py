"""What a pool has to do and what the provider can answer is measured where the buckets are, and told to everybody."""

import asyncio
import math
from datetime import timedelta
from itertools import count

import psycopg
import pytest
from redis.asyncio import Redis
from sqlalchemy import func, insert

from agentfleet.domain.admission import Heard, Need, Pace
from agentfleet.domain.scaling import ScalePolicy
from agentfleet.domain.states import StepState
from agentfleet.engine.autoscale import Autoscaler, PoolPolicy, ScaleGauges
from agentfleet.engine.loads import LoadMeter
from agentfleet.provider.admission import Admission
from agentfleet.provider.models import group_of
from agentfleet.store import tables
from agentfleet.telemetry import metrics
from tests.acceptance.fleet import until
from tests.factories import execute, make_step

MODEL, BUCKET = "claude-opus-5-5", "acme/opus-5.5"
USAGE = (
    '{"input_tokens": 100, "cache_creation_input_tokens": 900, "cache_read_input_tokens": 50000, "output_tokens": 200}'
)
seqs = count(1)


@pytest.fixture
def admission(redis: Redis) -> Admission:
    return Admission(redis, prefix="test", pace=Pace(), caps={})


@pytest.fixture
def meter(db, admission) -> LoadMeter:
    return LoadMeter(db, admission, pool="default", group_of=group_of)


async def ended(db, kind: str, seconds: float, outcome: str = "succeed", **columns) -> None:
    """A step that is over, and its only attempt; a `reason` step has called the model."""
    called = {"request_id": "req_1", "usage": USAGE} if kind == "reason" else {}
    made = await make_step(db, StepState.SUCCEEDED, kind=kind, name=MODEL, seq=next(seqs), **columns)
    now = func.agentfleet_now()
    row = {"step_id": made.step_id, "fence": 1, "attempt": 1, "outcome": outcome, "finished_at": now, **called}
    async with db.reading() as connection:
        await connection.execute(
            insert(tables.attempts).values(**row, claimed_at=now - timedelta(seconds=seconds), cost_usd=0)
        )


async def learn(admission: Admission, *limits: float) -> None:
    """The provider tells the limits of the bucket that the calls use."""
    await admission.reserve(Need(BUCKET, 1, 1), "some-step")
    admission.listen(BUCKET, Heard((limits[0], limits[1], limits[2])))
    await admission.close()


def newest(url: str, *columns: str) -> tuple:
    query = "SELECT row_to_json(p) FROM pool_loads p ORDER BY at DESC LIMIT 1"
    [(row,)] = execute(url, query)
    return tuple(row[column] for column in columns)


async def test_every_step_that_comes_is_counted_once(db, meter, clock, database_url):
    await meter.run_once()
    assert newest(database_url, "arrivals", "step_seconds", "provider_slots") == (0, None, None)
    for _ in range(5):
        await make_step(db, StepState.READY)
    await make_step(db, StepState.READY, pool="gpu")
    clock.advance(30)
    await meter.run_once()
    clock.advance(30)
    await meter.run_once()
    assert execute(database_url, "SELECT sum(arrivals), max(pool) FROM pool_loads") == [(5, "default")]
    [rate] = newest(database_url, "rate")
    assert 0 < rate < 0.2


async def test_what_another_reconciler_counts_at_the_same_time_is_not_counted_again(db, meter, clock, database_url):
    await meter.run_once()
    for _ in range(5):
        await make_step(db, StepState.READY)
    clock.advance(30)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(database_url) as other:
        other.execute("UPDATE pool_loads SET arrivals = 5, seconds = seconds + 20, until = until + interval '20 s'")
        measuring = asyncio.create_task(meter.run_once())
        await until(lambda: execute(database_url, waits) == [(1,)], "it waits for the other one")
        other.commit()
        await measuring
    assert execute(database_url, "SELECT sum(arrivals) FROM pool_loads") == [(5,)]


async def test_a_steps_time_and_the_providers_room_are_those_of_late(db, meter, admission, clock, database_url):
    await ended(db, "reason", 8.0)
    await ended(db, "tool", 2.0)
    await ended(db, "reason", 0.0, outcome="snooze")
    await ended(db, "tool", 500.0, pool="gpu")
    await learn(admission, 600, 60_000, 1e9)
    clock.advance(20)
    await meter.run_once()
    step_seconds, slots = newest(database_url, "step_seconds", "provider_slots")
    assert step_seconds == pytest.approx(5)
    assert slots == pytest.approx(60 / 60 * (8 + 2))  # 1,000 tokens a call: what was read from the cache is free


async def test_an_account_that_is_parked_has_no_room(db, meter, admission, clock, database_url):
    await ended(db, "reason", 8.0)
    await learn(admission, 600, 60_000, 1e9)
    admission.park(BUCKET, 600)
    await admission.close()
    clock.advance(20)
    await meter.run_once()
    assert newest(database_url, "provider_slots") == (0,)


async def test_what_is_older_than_five_weeks_is_forgotten(meter, clock, database_url):
    await meter.run_once()
    clock.advance(34 * 86_400)
    assert await meter.prune() == 0
    clock.advance(2 * 86_400)
    assert await meter.prune() == 1
    assert execute(database_url, "SELECT count(*) FROM pool_loads") == [(0,)]


async def test_who_leads_tells_the_last_decision_until_nobody_has_asked_for_a_day(db, meter, clock):
    await meter.run_once()
    for _ in range(5):
        await make_step(db, StepState.RUNNING)
    policy = PoolPolicy(ScalePolicy(concurrency=2, headroom=0))
    decided = await Autoscaler(db, lambda _: policy)("default")
    gauges = ScaleGauges(db)
    await gauges.run_once()

    def told(gauge, *labels: str) -> float:
        return gauge.labels("default", *labels)._value.get()

    assert told(metrics.DESIRED_WORKERS) == 3
    assert told(metrics.DESIRED_SLOTS) == 5
    assert told(metrics.PROVIDER_CAPACITY_SLOTS) == math.inf
    assert told(metrics.SCALE_DECIDED) == decided.decided_at.timestamp()
    assert [told(metrics.SCALE_BOUND, by) for by in ("work", "provider", "max", "min")] == [1, 0, 0, 0]
    clock.advance(86_401)
    await gauges.run_once()
    for gauge in (metrics.DESIRED_WORKERS, metrics.SCALE_DECIDED, metrics.SCALE_BOUND):
        assert [sample for metric in gauge.collect() for sample in metric.samples] == []
