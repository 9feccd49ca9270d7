"""What was spent, saved and wasted, tenant by tenant. Never on the hot connections: it may take a while."""

from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import text

from agentfleet.domain.waste import By, Calls, Cause, Loss, Spent
from agentfleet.store import statements
from agentfleet.store.database import Database

MOST = 2_000
"""Lines of a kind, the dearest first."""

TENANTS = text("""
    WITH RECURSIVE tenant AS (
        (SELECT tenant_id FROM runs ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.tenant_id FROM runs r WHERE r.tenant_id > tenant.tenant_id ORDER BY r.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM tenant WHERE tenant_id IS NOT NULL
""")
"""From entry to entry of runs_by_tenant, however many runs lie between."""


async def tenants(db: Database) -> list[str]:
    """Everybody who has runs. For who sees all of them."""
    async with db.reading() as connection:
        return list(await connection.scalars(TENANTS))


async def usage_of(db: Database, tenant_id: str, *, since: float, by: By) -> tuple[list[Spent], list[Loss]]:
    """What the tenant's runs of the last ``since`` seconds spent and lost, by key and model."""
    params = {"tenant_id": tenant_id, "since": since, "by": by.value, "limit": MOST}
    async with db.reading(tenant_id) as connection:
        raw = await connection.get_raw_connection()
        cursor = psycopg.AsyncRawCursor[Any](raw.driver_connection)  # pyright: ignore[reportArgumentType]  # it is ours
        # Planned anew: what is right for a day's runs of one tenant is wrong for a quarter's of another.
        await cursor.execute(statements.SUM_USAGE.sql, statements.SUM_USAGE.values(params), prepare=False)
        rows = await cursor.fetchall()
    return [_spent(row) for row in rows if row[0] == "spent"], [_loss(row) for row in rows if row[0] == "lost"]


async def now(db: Database) -> datetime:
    """The database's time."""
    async with db.reading() as connection:
        return await connection.scalar(text("SELECT agentfleet_now()"))


def _spent(row: tuple[Any, ...]) -> Spent:
    _, key, _, main_model, *_ = row
    return Spent(key, main_model, _calls(row), answered_usd=row[12], batch_usd=row[13])


def _loss(row: tuple[Any, ...]) -> Loss:
    cause, *numbers = row[14:]
    return Loss(row[1], Cause(cause), _calls(row), *numbers)


def _calls(row: tuple[Any, ...]) -> Calls:
    return Calls(row[2], *row[4:12])
