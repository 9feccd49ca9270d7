"""Dead letters by kind: how many there are of each, since when, and what their runs have cost.

A fingerprint is written when a step is buried. Letters of code that knew none get theirs here, before the first who
counts or filters by it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Select, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from agentfleet.domain.fingerprint import fingerprint
from agentfleet.store.database import Database
from agentfleet.store.dead_letters import LETTERS, Filter
from agentfleet.store.tables import dead_letters, runs, steps

BATCH = 500
NEWEST = 5
"""So many ids are told of each cluster."""
TOKENS = runs.c.input_tokens + runs.c.output_tokens + runs.c.cache_read_tokens + runs.c.cache_write_tokens


@dataclass(frozen=True, slots=True)
class Cluster:
    """Dead letters of one kind. ``error`` is the newest one's, JSON text; what the runs have spent is counted once."""

    fingerprint: str
    verdict: str
    agent: str
    kind: str
    name: str
    error: str
    count: int
    runs: int
    tenants: int
    first_seen: datetime
    last_seen: datetime
    cost_usd: Decimal
    tokens: int
    newest: list[str]
    """Ids of dead letters."""


async def clusters(db: Database, tenant_id: str | None, which: Filter, *, limit: int) -> list[Cluster]:
    """The largest first. Without ``tenant_id`` those of every tenant, for the fleet's role only."""
    await name_kinds(db, tenant_id)
    async with db.reading(tenant_id) as connection:
        counted = (await connection.execute(_count(which).limit(limit))).all()
        examples = LETTERS.where(dead_letters.c.id.in_([row.newest[0] for row in counted]))
        example = {row.id: row for row in await connection.execute(examples)}
    return [_cluster(row, example[row.newest[0]]) for row in counted if row.newest[0] in example]


async def name_kinds(db: Database, tenant_id: str | None) -> None:
    """Give every open dead letter that has no fingerprint its own, ``BATCH`` in a transaction."""
    while await _name_some(db, tenant_id) == BATCH:
        pass


async def _name_some(db: Database, tenant_id: str | None) -> int:
    nameless = (
        LETTERS.where(dead_letters.c.state == "open", dead_letters.c.fingerprint.is_(None))
        .limit(BATCH)
        .with_for_update(of=dead_letters, skip_locked=True)  # who replays or discards one holds its run, too
    )
    async with db.reading(tenant_id) as connection:
        found = [
            {
                "letter": row.id,
                "kind": fingerprint(
                    row.verdict, agent=row.agent, kind=row.kind, name=row.name, error=orjson.loads(row.error)
                ),
            }
            for row in await connection.execute(nameless)
        ]
        if found:
            named = update(dead_letters).where(dead_letters.c.id == bindparam("letter"))
            await connection.execute(named.values(fingerprint=bindparam("kind")), found)
    return len(found)


def _count(which: Filter) -> Select[*tuple[Any, ...]]:
    nth = func.row_number().over(partition_by=(dead_letters.c.fingerprint, dead_letters.c.run_id))
    letter = (
        select(
            dead_letters.c.id, dead_letters.c.fingerprint, dead_letters.c.created_at, dead_letters.c.tenant_id,
            runs.c.cost_usd, TOKENS.label("tokens"), nth.label("nth"),
        )
        .join(steps, steps.c.id == dead_letters.c.step_id)
        .join(runs, runs.c.id == dead_letters.c.run_id)
        .where(*which.clauses())
        .subquery("letter")
    ).c  # fmt: skip
    once = letter.nth == 1  # a run may have several letters of a kind, and its money was spent once
    ids = func.array_agg(aggregate_order_by(letter.id, letter.id.desc()), type_=ARRAY(Uuid))
    return (
        select(
            letter.fingerprint,
            func.count().label("count"),
            func.count().filter(once).label("runs"),
            func.count(letter.tenant_id.distinct()).label("tenants"),
            func.min(letter.created_at).label("first_seen"),
            func.max(letter.created_at).label("last_seen"),
            func.sum(letter.cost_usd).filter(once).label("cost_usd"),
            func.sum(letter.tokens).filter(once).label("tokens"),
            ids[1:NEWEST].label("newest"),
        )
        .where(letter.fingerprint.is_not(None))
        .group_by(letter.fingerprint)
        .order_by(func.count().desc(), letter.fingerprint)
    )


def _cluster(row: Any, example: Any) -> Cluster:
    return Cluster(
        row.fingerprint,
        example.verdict,
        example.agent,
        example.kind,
        example.name,
        example.error,
        row.count,
        row.runs,
        row.tenants,
        row.first_seen,
        row.last_seen,
        row.cost_usd,
        int(row.tokens),
        [str(one) for one in row.newest],
    )
