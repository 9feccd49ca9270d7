"""Alerts: opened once per kind and subject, however often they are raised; told until somebody has heard of them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Row, delete, func, select, text

from agentfleet.domain.alerts import Alert, AlertKind
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from agentfleet.store.tables import alerts

MOST_TRIES = 20
"""The last one about half a day after the first."""
PAUSE, LONGEST_PAUSE = 15.0, 3_600.0
"""Seconds: the pause doubles after each try. The first is longer than any try takes."""
KEEP = timedelta(days=30)
"""How long a resolved alert stays in the list."""

LETTERS = text("""
    WITH RECURSIVE tenant AS (
        (SELECT tenant_id FROM dead_letters WHERE state = 'open' AND tenant_id IS NOT NULL ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.tenant_id FROM dead_letters d WHERE d.state = 'open' AND d.tenant_id > tenant.tenant_id
                ORDER BY d.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.tenant_id IS NOT NULL
    )
    SELECT t.tenant_id, (SELECT count(*) FROM (
        SELECT FROM dead_letters d WHERE d.state = 'open' AND d.tenant_id = t.tenant_id LIMIT :most) AS first)
    FROM tenant t WHERE t.tenant_id IS NOT NULL
""")


async def raise_alert(db: Database, kind: AlertKind, subject: str, message: str, data: Mapping[str, Any]) -> bool:
    """Open an alert, or note that the open one was seen again with this ``message`` and ``data``; whether it is new.

    ``message`` is one sentence for a human: what is wrong, what it means, what to do.
    """
    params = {"id": new_id(), "kind": kind.value, "subject": subject, "message": message}
    rows = await db.fetch(statements.RAISE_ALERT, {**params, "data": orjson.dumps(data, default=str).decode()})
    return bool(rows[0][0])


async def resolve(db: Database, kind: AlertKind, subject: str) -> bool:
    """It is over: say so, too. ``False`` when no such alert was open."""
    return bool(await db.fetch(statements.RESOLVE_ALERT, {"kind": kind.value, "subject": subject}))


async def take(db: Database, *, limit: int) -> list[Alert]:
    """What is to be told now. Each is tried again later unless ``mark_told`` follows."""
    rows = await db.fetch(
        statements.TAKE_ALERTS,
        {"limit": limit, "most_tries": MOST_TRIES, "pause": PAUSE, "longest": LONGEST_PAUSE},
    )
    return [Alert(*row) for row in rows]


async def mark_told(db: Database, alert: Alert) -> None:
    """Somebody has heard of it, as it was when it was taken."""
    await db.fetch(statements.MARK_ALERT, {"id": alert.id, "resolved_at": alert.resolved_at})


async def count_open(db: Database) -> dict[str, int]:
    """Open alerts by kind."""
    query = select(alerts.c.kind, func.count()).where(alerts.c.resolved_at.is_(None)).group_by(alerts.c.kind)
    async with db.reading() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def listed(db: Database, *, resolved: bool, limit: int) -> list[Alert]:
    """The newest alerts that are open, or with ``resolved`` those that are over, too."""
    columns = [column for column in alerts.c if column.name != "send_at"]
    query = select(*columns, alerts.c.send_at.is_(None)).order_by(alerts.c.created_at.desc()).limit(limit)
    if not resolved:
        query = query.where(alerts.c.resolved_at.is_(None))
    async with db.reading() as connection:
        return [_alert(row) for row in await connection.execute(query)]


async def open_of(db: Database, kind: AlertKind) -> list[Alert]:
    """The open alerts of a kind."""
    columns = [column for column in alerts.c if column.name != "send_at"]
    query = select(*columns, alerts.c.send_at.is_(None)).where(alerts.c.kind == kind, alerts.c.resolved_at.is_(None))
    async with db.reading() as connection:
        return [_alert(row) for row in await connection.execute(query)]


async def open_letters(db: Database, *, most: int) -> dict[str, int]:
    """Open dead letters by tenant, of each as far as ``most``. Index: dead_letters_open, from tenant to tenant."""
    async with db.reading() as connection:
        rows = await connection.execute(LETTERS, {"most": most})
        return {row[0]: row[1] for row in rows}


def _alert(row: Row[Any]) -> Alert:
    alert_id, *rest = tuple(row)
    return Alert(str(alert_id), *rest)


async def prune(db: Database) -> int:
    """Forget alerts that were resolved long ago; how many."""
    async with db.reading() as connection:
        return (
            await connection.execute(delete(alerts).where(alerts.c.resolved_at < func.agentfleet_now() - KEEP))
        ).rowcount
