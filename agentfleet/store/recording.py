"""What came to the fleet, of all tenants, as counts over time: the simulator's recorded arrivals."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, text

from agentfleet.store.database import Database
from agentfleet.store.tables import steps

EPOCH = text("timestamptz 'epoch'")


async def arrivals(
    db: Database, *, since: timedelta, every: timedelta, pool: str | None = None
) -> list[tuple[datetime, int]]:
    """Steps that were created within each ``every`` of the last ``since``, in order; times without any are left out.

    Ids are UUIDv7, so the primary key finds the newest without reading older ones.
    """
    at = func.date_bin(every, steps.c.created_at, EPOCH).label("at")
    async with db.reading() as connection:
        now: datetime = (await connection.execute(select(func.agentfleet_now()))).scalar_one()
        query = select(at, func.count()).where(steps.c.id >= _first_id(now - since)).group_by(at).order_by(at)
        if pool is not None:
            query = query.where(steps.c.pool == pool)
        return [(begin, count) for begin, count in await connection.execute(query)]


def _first_id(at: datetime) -> UUID:
    """The least UUIDv7 of a moment (RFC 9562, 5.7)."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62)
