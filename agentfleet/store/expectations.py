"""What is announced. A past event stays in the list until it is removed; a month after its end it is forgotten."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agentfleet.domain.errors import Conflict
from agentfleet.domain.expectations import Expectation
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from agentfleet.store.tables import expectations

MOST = 500
"""Kept at a time: each is looked at whenever a pool's size is decided."""
KEEP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Announced:
    """An expectation, and when it begins next, or has begun if it is under way; ``None``: it is over."""

    expectation: Expectation
    next: datetime | None


async def add(db: Database, expectation: Expectation) -> Announced:
    """Keep it, under a new id. Raises ``Conflict`` when there are too many."""
    kept = replace(expectation, id=new_id())
    async with db.reading() as connection:
        if (await connection.scalar(select(func.count()).select_from(expectations)) or 0) >= MOST:
            raise Conflict(f"there are {MOST} expectations, which are the most: remove what is over")
        await connection.execute(insert(expectations).values(asdict(kept)))
        return await _announced(connection, kept)


async def listed(db: Database) -> list[Announced]:
    """All of them, oldest first."""
    async with db.reading() as connection:
        found = [
            _expectation(row) for row in await connection.execute(select(expectations).order_by(expectations.c.id))
        ]
        return [await _announced(connection, each) for each in found]


async def remove(db: Database, expectation_id: str) -> bool:
    """Forget one; whether it was there. The id must be a UUID."""
    async with db.reading() as connection:
        done = await connection.execute(delete(expectations).where(expectations.c.id == expectation_id))
        return done.rowcount > 0


async def of_pool(connection: AsyncConnection, pool: str) -> list[Expectation]:
    """Those that concern one pool."""
    query = select(expectations).where((expectations.c.pool == pool) | expectations.c.pool.is_(None))
    return [_expectation(row) for row in await connection.execute(query)]


async def prune(db: Database) -> int:
    """Forget events that were over long ago; how many."""
    ended = expectations.c.at + func.make_interval(0, 0, 0, 0, 0, 0, expectations.c.seconds)
    async with db.reading() as connection:
        done = await connection.execute(delete(expectations).where(ended < func.agentfleet_now() - KEEP))
        return done.rowcount


async def _announced(connection: AsyncConnection, expectation: Expectation) -> Announced:
    now: datetime = (await connection.execute(select(func.agentfleet_now()))).scalar_one()
    return Announced(expectation, expectation.begins(now) or expectation.next(now))


def _expectation(row: Any) -> Expectation:
    return Expectation(row.factor, row.seconds, row.at, row.cron, row.tz, row.pool, row.note, str(row.id))
