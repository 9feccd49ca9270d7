"""What pools had to do, and what was decided about their size. ``expectations.py`` has what is announced."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from agentfleet.domain.errors import NotFound
from agentfleet.domain.provider_room import Calls
from agentfleet.store import expectations, statements
from agentfleet.store.database import Database
from agentfleet.store.tables import pool_loads, scale_decisions

SAMPLE, SETTLED = 2_000, 10.0
"""Attempts that tell how long steps take, and the seconds after which most of a moment's steps have ended."""
FIRST, LATE, LONGEST = 10.0, 5.0, 300.0
"""Seconds: counted at the first look; in which an id that was made is committed; counted after a pause, at most."""
ROOM = 100_000
"""More waiting steps of a kind are not counted."""
KEEP = timedelta(weeks=5)
STALE = timedelta(days=1)
WEEK, HOUR = timedelta(weeks=1), timedelta(hours=1)

_LOAD = text(
    "SELECT ready, running, due, queued, coalesce(oldest, 0) AS oldest FROM agentfleet_pool_load(:pool, :room)"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a pool at the time ``now``.

    ``queued`` wait for the provider, ``oldest`` and ``step_seconds`` are in seconds. ``last_week`` is what came in this
    hour of last week, ``expected`` what each announcement of this moment makes of it: steps a second.
    """

    pool: str
    now: datetime
    ready: int
    running: int
    due: int
    queued: int
    oldest: float
    rate: float
    step_seconds: float | None
    provider_slots: float | None
    last_week: float
    expected: float


@dataclass(frozen=True, slots=True)
class Decided:
    """The newest decision about a pool: JSON, as the API answers."""

    pool: str
    decided_at: datetime
    decision: str


Decide = Callable[[Facts, str | None], tuple[str, str]]
"""From the facts and the remembered state to the decision and the state, all but the facts as JSON."""


async def sample(db: Database, pool: str) -> list[Calls]:
    """What the pool's recent steps were, by the model that they called."""
    params = {"pool": pool, "limit": SAMPLE, "settled": SETTLED}
    return [Calls(*row) for row in await db.fetch(statements.SAMPLE_STEPS, params)]


async def record(db: Database, pool: str, step_seconds: float | None, provider_slots: float | None) -> None:
    """Count what has come to the pool since the last time, and note the rest. Any number of processes may do so."""
    given = {"pool": pool, "step_seconds": step_seconds, "provider_slots": provider_slots}
    await db.fetch(statements.RECORD_LOAD, {**given, "first": FIRST, "late": LATE, "longest": LONGEST})


async def prune(db: Database) -> int:
    """Forget what pools did more than ``KEEP`` ago; how many rows."""
    async with db.reading() as connection:
        done = await connection.execute(delete(pool_loads).where(pool_loads.c.at < func.agentfleet_now() - KEEP))
        return done.rowcount


async def decided(db: Database) -> Sequence[Decided]:
    """The newest decision about each pool, unless nobody has asked for ``STALE``."""
    query = select(scale_decisions.c.pool, scale_decisions.c.decided_at, scale_decisions.c.decision).where(
        scale_decisions.c.decided_at > func.agentfleet_now() - STALE
    )
    async with db.reading() as connection:
        return [Decided(*row) for row in await connection.execute(query.order_by(scale_decisions.c.pool))]


async def decide_once(db: Database, pool: str, *, every: float, lead: float, decide: Decide) -> Decided:
    """The decision about a pool: the last one, unless it is older than ``every`` seconds; then a new one.

    Whoever asks meanwhile waits for it. ``lead`` is how long before an announced event its steps are expected. Raises
    ``NotFound`` for a pool that nobody has measured.
    """
    async with db.reading() as connection:
        now: datetime = (await connection.execute(select(func.agentfleet_now()))).scalar_one()
        load = (await connection.execute(_newest(pool))).first()
        if load is None:
            raise NotFound(f"nobody has measured a pool {pool[:100]!r}: its reconciler does, as soon as it runs")
        fresh = insert(scale_decisions).values(pool=pool, decided_at=now, decision="{}", state="")
        await connection.execute(fresh.on_conflict_do_nothing())
        locked = select(scale_decisions).where(scale_decisions.c.pool == pool).with_for_update()
        last = (await connection.execute(locked)).one()
        if last.state and now - last.decided_at < timedelta(seconds=every):
            return Decided(pool, last.decided_at, last.decision)
        facts = await _facts(connection, pool, now, load, lead)
        decision, state = decide(facts, last.state or None)
        changed = {"decided_at": now, "decision": decision, "state": state}
        await connection.execute(update(scale_decisions).where(scale_decisions.c.pool == pool).values(changed))
        return Decided(pool, now, decision)


async def _facts(connection: AsyncConnection, pool: str, now: datetime, load: Any, lead: float) -> Facts:
    counts = (await connection.execute(_LOAD, {"pool": pool, "room": ROOM})).one()
    soon = [
        each.factor * await _baseline(connection, pool, start, lead)
        for each in await expectations.of_pool(connection, pool)
        if (start := each.begins(now, lead)) is not None
    ]
    last_week = await _last_week(connection, pool, now)
    rate = load.rate if now - load.until < timedelta(seconds=LONGEST) else 0.0  # else it is of long ago
    known = (rate, load.step_seconds, load.provider_slots, last_week, max(soon, default=0.0))
    return Facts(pool, now, counts.ready, counts.running, counts.due, counts.queued, counts.oldest, *known)


async def _baseline(connection: AsyncConnection, pool: str, start: datetime, lead: float) -> float:
    """Steps a second without the event: as in the hour from ``start`` a week ago, else as in the hour before it."""
    usual = await _last_week(connection, pool, start)
    if usual > 0:
        return usual
    before = start - timedelta(seconds=lead)
    rate = func.sum(pool_loads.c.arrivals) / func.nullif(func.sum(pool_loads.c.seconds), 0)
    hour = pool_loads.c.at.between(before - HOUR, before)
    return float(await connection.scalar(select(rate).where(pool_loads.c.pool == pool, hour)) or 0.0)


async def _last_week(connection: AsyncConnection, pool: str, since: datetime) -> float:
    """What nine of ten five minutes did not exceed, in the hour from ``since``, a week earlier: steps a second."""
    rate = pool_loads.c.arrivals / pool_loads.c.seconds
    begun = since - WEEK
    hour = (pool_loads.c.at >= begun) & (pool_loads.c.at < begun + HOUR)
    query = select(func.percentile_cont(0.9).within_group(rate)).where(pool_loads.c.pool == pool, hour)
    return float(await connection.scalar(query) or 0.0)


def _newest(pool: str) -> Any:
    return select(pool_loads).where(pool_loads.c.pool == pool).order_by(pool_loads.c.at.desc()).limit(1)
