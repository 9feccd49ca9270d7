"""What there is to say about runs that wait, as their tenant. Functions that see all tell positions and paces."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause, func, select, text

from agentfleet.domain.states import RunState, StepState
from agentfleet.domain.waiting import MOST, Foremost, Order, Pace
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.tables import runs

RECENT = 500
"""Runs of a tenant that count as recent."""

POSITIONS: Mapping[Order, TextClause] = {
    Order.QUEUE: text("SELECT agentfleet_queue_position(:step_id, :most)"),
    Order.WORKER: text("SELECT agentfleet_worker_position(:step_id, :most)"),
    Order.BUCKET: text("SELECT agentfleet_bucket_position(:step_id, :most)"),
}


async def foremost(db: Database, tenant_id: str, run_ids: Sequence[str]) -> dict[str, Foremost]:
    """The step that explains each run; absent: none is open."""
    params = {"tenant_id": tenant_id, "run_id": list(run_ids)}
    rows = await db.fetch_as(tenant_id, statements.READ_WAITING, params)
    return {row[0]: _foremost(row) for row in rows}


async def position(db: Database, step_id: str, order: Order) -> int | None:
    """The step's place in an order, as far as ``MOST``; ``None`` when it is not in it any more. Takes counting."""
    async with db.reading() as connection:
        return await connection.scalar(POSITIONS[order], {"step_id": step_id, "most": MOST})


async def pace(db: Database, pool: str) -> Pace:
    """How fast the pool and batches are of late."""
    async with db.reading() as connection:
        query = text("SELECT agentfleet_pool_pace(:pool), agentfleet_batch_time()")
        return Pace(*(await connection.execute(query, {"pool": pool})).one())


async def durations(db: Database, tenant_id: str) -> dict[str, list[float]]:
    """Seconds from start to end of the tenant's recent runs that succeeded, by agent. Index: runs_by_tenant."""
    newest = select(runs).where(runs.c.tenant_id == tenant_id).order_by(runs.c.id.desc()).limit(RECENT).subquery()
    took = func.extract("epoch", newest.c.finished_at - newest.c.started_at)
    query = (
        select(newest.c.agent, func.array_agg(took))
        .where(newest.c.state == RunState.SUCCEEDED.value, newest.c.started_at.is_not(None))
        .group_by(newest.c.agent)
    )
    async with db.reading(tenant_id) as connection:
        return {row[0]: [float(seconds) for seconds in row[1]] for row in await connection.execute(query)}


def _foremost(row: tuple[Any, ...]) -> Foremost:
    _, state, *rest = row
    return Foremost(StepState(state), *rest)
