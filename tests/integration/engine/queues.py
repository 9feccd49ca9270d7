"""Steps that wait for a bucket of the provider, and who serves them."""

from collections import Counter
from collections.abc import Callable

from redis.asyncio import Redis

from agentfleet.domain.admission import Need, Pace
from agentfleet.domain.states import StepState
from agentfleet.engine.admit import Admitter
from tests.factories import POOL, make_step, step_row

BUCKET = "acme/sonnet-5.5"
PACE = Pace(burst=60, ramp_start=1.0, turn=600)
"""A bucket holds a minute, is full at first, and does not ramp."""
EACH = Need(BUCKET, 6_000, 100)
"""Ten fit."""

BACKLOG = """
WITH made AS (
    INSERT INTO runs (id, tenant_id, agent, bundle_id, pool, state, blocked_on, input, steps_total, open_steps, waiting_steps)
    SELECT gen_random_uuid(), %s, 'tester', 'bundle-1', 'default', 'waiting', 'provider', '""', 1, 1, 1
    FROM generate_series(1, %s) RETURNING id, tenant_id
)
INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state, priority, ready_at, fence,
                   not_before, blocked_on, bucket, input_estimate, output_estimate)
SELECT gen_random_uuid(), id, tenant_id, 'default', 'tester', 0, 'reason', 'm', 1, '{}', 'waiting', %s,
       now() + make_interval(secs => row_number() OVER ()), 1, now() + interval '1 hour', 'provider', %s, %s, 100 FROM made
"""


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def waiting(db, **columns):
    values = {"blocked_on": "provider", "bucket": BUCKET, "input_estimate": 6_000, "output_estimate": 100, "due": 3600}
    return await make_step(db, StepState.WAITING, **{**values, **columns})


def admitter(db, bells, admission, clock: Callable[[], float] | None = None) -> Admitter:
    return Admitter(db, bells, admission, pool=POOL, clock=clock)


async def room(redis: Redis, bucket: str = BUCKET) -> float:
    return float(await redis.hget(f"test:bucket:{bucket}", "levels2"))


async def fill(redis: Redis, bucket: str = BUCKET) -> None:
    await redis.hset(f"test:bucket:{bucket}", mapping={"levels1": 60, "levels2": 60_000, "levels3": 12_000})


async def owners(db, step_ids) -> Counter[str]:
    return Counter([(await step_row(db, step_id)).tenant_id for step_id in step_ids])
