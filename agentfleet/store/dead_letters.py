"""Dead letters as people read them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from agentfleet.store.database import Database
from agentfleet.store.tables import dead_letters, steps


async def page(
    db: Database, tenant_id: str, *, state: str | None, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """The tenant's dead letters, newest first, older than the id ``before``."""
    query = (
        select(dead_letters, steps.c.seq, steps.c.kind, steps.c.name, steps.c.agent)
        .join(steps, steps.c.id == dead_letters.c.step_id)
        .order_by(dead_letters.c.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(dead_letters.c.state == state)
    if before is not None:
        query = query.where(dead_letters.c.id < UUID(before))
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query)).all()


async def get(db: Database, tenant_id: str, dead_letter_id: str) -> Row[Any] | None:
    """One dead letter with its step, or ``None`` when this tenant has none of that id."""
    query = (
        select(dead_letters, steps.c.seq, steps.c.kind, steps.c.name, steps.c.agent)
        .join(steps, steps.c.id == dead_letters.c.step_id)
        .where(dead_letters.c.id == UUID(dead_letter_id))
    )
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query)).one_or_none()


async def open_run(db: Database, tenant_id: str, dead_letter_id: str) -> str | None:
    """The run of an open dead letter, or ``None``."""
    query = select(dead_letters.c.run_id).where(
        dead_letters.c.id == UUID(dead_letter_id), dead_letters.c.state == "open"
    )
    async with db.reading(tenant_id) as connection:
        run_id = await connection.scalar(query)
    return None if run_id is None else str(run_id)
