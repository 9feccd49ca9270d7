"""What people ask about runs. Every function sees one tenant's rows only: by row-level security, and by its own WHERE.

What every poll and every event stream asks again and again is compiled once and runs on the hot connections, in one
round trip; lists, which may take long, never hold one of those.
"""

from collections import namedtuple
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, Uuid, any_, bindparam, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, psycopg

from agentfleet.store.database import Database
from agentfleet.store.statements import Statement
from agentfleet.store.tables import attempts, budgets, messages, run_events, runs, steps

Record = Any
"""A row with its columns as attributes; ids are ``UUID``, times know their zone, JSON documents are text."""

LARGE = (runs.c.input, runs.c.output)
"""Documents of a run that its list entry leaves out."""
SUMMARY = tuple(column for column in runs.c if column not in LARGE)
AGE = func.extract("epoch", func.agentfleet_now() - runs.c.created_at).label("age")
"""Seconds since the run was accepted, on the database's clock."""


class _Hot:
    """A query that is compiled once. Its rows are named tuples."""

    def __init__(self, name: str, query: Select[Any]) -> None:
        self._statement = Statement(name, str(query.compile(dialect=psycopg.dialect())))
        # The names are the table's own, so no class can list them.
        self._record = namedtuple("Record", query.selected_columns.keys())  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple]

    async def __call__(self, db: Database, tenant_id: str, **params: object) -> list[Record]:
        rows = await db.fetch_as(tenant_id, self._statement, {"tenant_id": tenant_id, **params})
        return [self._record._make(row) for row in rows]


_OWN = runs.c.tenant_id == bindparam("tenant_id")
_TREE = [column.label(f"tree_{column.name}") for column in budgets.c if column.name.startswith(("used_", "held_"))]
"""What a run and its children spend from together; none: it has no children."""
_WITH_TREE = runs.outerjoin(budgets, budgets.c.id == literal_column("'run/'", Text) + cast(runs.c.id, Text))
_RUNS = _Hot(
    "read_runs",
    select(runs, AGE, *_TREE)
    .select_from(_WITH_TREE)
    .where(runs.c.id == any_(bindparam("run_ids", type_=ARRAY(Uuid))), _OWN),
)
_EVENTS = _Hot(
    "read_events",
    select(run_events)
    .join(runs, runs.c.id == run_events.c.run_id)
    .where(run_events.c.run_id == bindparam("run_id"), _OWN, run_events.c.seq > bindparam("after"))
    .order_by(run_events.c.seq)
    .limit(bindparam("most")),
)


async def runs_by_id(db: Database, tenant_id: str, run_ids: Sequence[str]) -> list[Record | None]:
    """Every column of each run and its ``age``, in order; ``None`` where this tenant has none of that id."""
    found = {str(row.id): row for row in await _RUNS(db, tenant_id, run_ids=list(run_ids))}
    return [found.get(run_id) for run_id in run_ids]


async def run_page(
    db: Database, tenant_id: str, *, states: Sequence[str], agent: str | None, before: str | None, limit: int
) -> Sequence[Record]:
    """The tenant's runs, newest first, older than the run ``before``; without their input and output."""
    query = select(*SUMMARY).where(runs.c.tenant_id == tenant_id).order_by(runs.c.id.desc()).limit(limit)
    if states:
        query = query.where(runs.c.state.in_(states))
    if agent is not None:
        query = query.where(runs.c.agent == agent)
    if before is not None:
        query = query.where(runs.c.id < UUID(before))
    return await _all(db, tenant_id, query)


async def step_page(db: Database, tenant_id: str, run_id: str, *, after: int, limit: int) -> Sequence[Record]:
    """The run's steps with a larger ``seq`` than ``after``, in order."""
    query = (
        select(steps)
        .where(steps.c.run_id == UUID(run_id), steps.c.tenant_id == tenant_id, steps.c.seq > after)
        .order_by(steps.c.seq)
        .limit(limit)
    )
    return await _all(db, tenant_id, query)


async def attempts_of(db: Database, tenant_id: str, step_ids: Sequence[UUID]) -> Sequence[Record]:
    """The ended attempts of these steps, in order of their claims."""
    query = (
        select(attempts)
        .join(steps, steps.c.id == attempts.c.step_id)
        .where(attempts.c.step_id.in_(step_ids), steps.c.tenant_id == tenant_id)
        .order_by(attempts.c.step_id, attempts.c.fence)
    )
    return await _all(db, tenant_id, query)


async def message_page(
    db: Database, tenant_id: str, run_id: str, *, after: tuple[int, int], limit: int
) -> Sequence[Record]:
    """The run's conversation behind ``(turn, part)``, in order, exactly as it was sent and received."""
    query = (
        select(messages)
        .join(runs, runs.c.id == messages.c.run_id)
        .where(
            messages.c.run_id == UUID(run_id),
            runs.c.tenant_id == tenant_id,
            tuple_(messages.c.turn, messages.c.part) > after,
        )
        .order_by(messages.c.turn, messages.c.part)
        .limit(limit)
    )
    return await _all(db, tenant_id, query)


async def event_page(db: Database, tenant_id: str, run_id: str, *, after: int, limit: int) -> Sequence[Record]:
    """The run's events with a larger ``seq`` than ``after``, in order and without a gap."""
    return await _EVENTS(db, tenant_id, run_id=run_id, after=after, most=limit)


async def _all(db: Database, tenant_id: str, query: Select[Any]) -> Sequence[Record]:
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query)).all()
