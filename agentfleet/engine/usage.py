"""Usage: the report of what was spent, saved and wasted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentfleet.domain.waste import By, Line, Price, lines, total
from agentfleet.store import usage
from agentfleet.store.database import Database

LONGEST = 92 * 86_400.0
"""Seconds that a report may look back: a quarter."""


@dataclass(frozen=True, slots=True)
class Report:
    """What runs accepted from ``since`` to ``until`` used: a line per key, the dearest first, and all of them."""

    since: datetime
    until: datetime
    by: By
    lines: Sequence[Line]
    total: Line


async def report(db: Database, *, since: float, by: By, price: Price, tenant_id: str | None = None) -> Report:
    """The last ``since`` seconds of ``tenant_id``, or of everybody for who sees all tenants."""
    until = await usage.now(db)
    chosen = [tenant_id] if tenant_id is not None else await usage.tenants(db)
    found = [await usage.usage_of(db, one, since=since, by=by) for one in chosen]
    spent, lost = [row for rows, _ in found for row in rows], [row for _, rows in found for row in rows]
    every = lines(spent, lost, price)
    return Report(until - timedelta(seconds=since), until, by, every, total(every))
