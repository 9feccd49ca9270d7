"""Ended runs that have been kept for long enough: which, and what is left of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from agentfleet.domain.retention import Keep, Rule, overruled, own_terms, to_json
from agentfleet.store import statements
from agentfleet.store import tables as t
from agentfleet.store.database import Database
from agentfleet.store.reads import Record
from agentfleet.store.usage import TENANTS

BIG = ("runs", "steps", "attempts", "messages", "run_events")


@dataclass(frozen=True, slots=True)
class Due:
    """An ended run whose time is over; ``archived_to`` when the archive has it."""

    run_id: str
    tenant_id: str
    version: int
    steps: int
    archived_to: str | None


@dataclass(frozen=True, slots=True)
class Size:
    """A table with its indexes, in bytes; rows as estimated."""

    table: str
    bytes: int
    rows: int
    dead_rows: int


async def policies(db: Database, keep: Keep) -> dict[str, Keep]:
    """How long each tenant that has runs keeps them, if the deployment says ``keep``."""
    async with db.reading() as connection:
        names = list(await connection.scalars(TENANTS))
        own = select(t.tenants.c.id, t.tenants.c.retention).where(t.tenants.c.retention.is_not(None))
        found = {row.id: row.retention for row in await connection.execute(own)}
    return {name: overruled(keep, found.get(name)) for name in names}


async def keep_of(db: Database, tenant_id: str, keep: Keep) -> Keep:
    """How long one tenant keeps its runs, if the deployment says ``keep``."""
    async with db.reading(tenant_id) as connection:
        own = await connection.scalar(select(t.tenants.c.retention).where(t.tenants.c.id == tenant_id))
    return overruled(keep, own)


async def change(db: Database, tenant_id: str, terms: Mapping[str, float | None]) -> None:
    """Give a tenant, which is made when it is new, terms of its own; ``None``: the deployment's again."""
    async with db.reading() as connection:
        await connection.execute(insert(t.tenants).values(id=tenant_id).on_conflict_do_nothing())
        mine = t.tenants.c.id == tenant_id
        old = await connection.scalar(select(t.tenants.c.retention).where(mine).with_for_update())
        new = {name: value for name, value in {**own_terms(old), **terms}.items() if value is not None}
        await connection.execute(t.tenants.update().where(mine).values(retention=to_json(new)))


async def due(db: Database, rules: Sequence[Rule], *, whole: bool, limit: int) -> list[Due]:
    """Up to ``limit`` runs that are due to go, or with ``whole=False`` their details, in the order of ``rules``."""
    params = {
        "tenant_id": [rule.tenant_id for rule in rules],
        "succeeded": [rule.succeeded for rule in rules],
        "stripped": [rule.stripped for rule in rules],
        "age": [rule.age for rule in rules],
        "whole": whole,
        "limit": limit,
    }
    return [Due(*row) for row in await db.fetch(statements.DUE_RUNS, params)]


async def strip(db: Database, runs: Sequence[Due]) -> int:
    """Delete the details of runs that are as they were found; of how many."""
    return len(await db.fetch(statements.STRIP_RUNS, _params(runs)))


async def forget(db: Database, runs: Sequence[Due]) -> int:
    """Delete runs that are as they were found, all but their tombstones; how many."""
    return len(await db.fetch(statements.FORGET_RUNS, _params(runs)))


async def place_of(db: Database, run_id: str) -> Record | None:
    """Where a run was archived, and its tenant; ``None``: there is neither the run nor its tombstone."""
    both = [
        select(one.c.tenant_id, one.c.archived_to).where(one.c.id == UUID(run_id)) for one in (t.runs, t.run_tombstones)
    ]
    async with db.reading() as connection:
        return (await connection.execute(both[0].union_all(both[1]))).first()


async def tombstone(db: Database, tenant_id: str, run_id: str) -> Record | None:
    """What is left of a run of the tenant that was deleted."""
    query = select(t.run_tombstones).where(
        t.run_tombstones.c.id == UUID(run_id), t.run_tombstones.c.tenant_id == tenant_id
    )
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query)).one_or_none()


async def count_ended(db: Database, rules: Sequence[Rule]) -> int:
    """How many runs have reached the age of one of these rules. Index: runs_ended."""
    ended = t.runs.c.finished_at.is_not(None)
    counted = 0
    async with db.reading() as connection:
        for rule in rules:
            mine = (
                t.runs.c.tenant_id == rule.tenant_id,
                t.runs.c.output.is_not(None) if rule.succeeded else t.runs.c.output.is_(None),
                t.runs.c.stripped_at.is_not(None) if rule.stripped else t.runs.c.stripped_at.is_(None),
                t.runs.c.finished_at <= func.agentfleet_now() - func.make_interval(0, 0, 0, 0, 0, 0, rule.age),
            )
            counted += await connection.scalar(select(func.count()).select_from(t.runs).where(ended, *mine)) or 0
    return counted


async def sizes(db: Database) -> list[Size]:
    """The big tables."""
    query = text(
        "SELECT c.relname::text, pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint,"
        " coalesce(pg_stat_get_dead_tuples(c.oid), 0) FROM pg_class c"
        " WHERE c.relname = ANY(:names) AND c.relnamespace = 'public'::regnamespace ORDER BY 2 DESC"
    )
    async with db.reading() as connection:
        return [Size(*row) for row in await connection.execute(query, {"names": list(BIG)})]


async def prune_request_keys(db: Database, *, age: float, limit: int) -> int:
    """Delete request keys that are ``age`` seconds old; how many."""
    return len(await db.fetch(statements.PRUNE_REQUEST_KEYS, {"age": age, "limit": limit}))


async def prune_batches(db: Database, *, age: float, limit: int) -> int:
    """Delete batches of that age that have ended and of which no step is left; how many."""
    return len(await db.fetch(statements.PRUNE_BATCHES, {"age": age, "limit": limit}))


async def prune_tombstones(db: Database, *, age: float, limit: int) -> int:
    """Delete tombstones of that age; how many."""
    return len(await db.fetch(statements.PRUNE_TOMBSTONES, {"age": age, "limit": limit}))


def _params(runs: Sequence[Due]) -> dict[str, list[str] | list[int] | list[str | None]]:
    return {
        "run_id": [run.run_id for run in runs],
        "version": [run.version for run in runs],
        "archived_to": [run.archived_to for run in runs],
    }
