"""Budgets that several spend from: a tenant's day, a run with children. Reserve, change, read.

A run that is alone needs no row here: which step and which call of the run a step is stands in the step, and model
calls of a run follow each other, so its own progress is exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agentfleet.domain.budget import CEILINGS, Amount, Budget, Left, budget_to_json
from agentfleet.domain.states import StepEvent, step_sources
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.reads import Record

RUNNING = step_sources(StepEvent.RENEW)
DAY = "tenant/"
"""How the id of a tenant's day begins."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A running step and the worst case of what it is about to do."""

    step_id: str
    tenant_id: str
    fence: int
    need: Amount


@dataclass(frozen=True, slots=True)
class Answer:
    """``outcome`` is one of ``reserve_budget.sql``'s; ``budget`` and ``ceiling`` say what had no room; ``left`` is the
    tightest of all its budgets without this step; ``day_ends`` in seconds from now.
    """

    step_id: str
    outcome: str
    budget: str | None
    ceiling: str | None
    day_ends: float
    left: Left


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run, as far as its ceilings go. ``budget`` is JSON text: ceilings that were changed since it was accepted."""

    id: str
    state: str
    bundle_id: str
    budget: str | None


async def reserve(db: Database, asks: Sequence[Ask]) -> dict[str, Answer]:
    """Hold what fits, by step. Absent: the step is not ours any more."""
    rows = await db.fetch(
        statements.RESERVE_BUDGET,
        {
            "running": RUNNING,
            "step_id": [a.step_id for a in asks],
            "fence": [a.fence for a in asks],
            "steps": [a.need.steps for a in asks],
            "tool_calls": [a.need.tool_calls for a in asks],
            "tokens": [a.need.tokens for a in asks],
            "cost_usd": [a.need.cost_usd for a in asks],
        },
    )
    return {row[0]: Answer(*row[:5], left=Left(*row[5:])) for row in rows}


async def alarm(db: Database, budget_ids: Sequence[str]) -> list[bool]:
    """Tell people that four fifths are used, once: for each budget that is told of, whether it is a tenant's day."""
    return [row[1] for row in await db.fetch(statements.ALARM_BUDGETS, {"id": list(budget_ids)})]


async def open_day(db: Database, tenant_ids: Sequence[str]) -> None:
    """Make the row of today for tenants that have a cap."""
    await db.fetch(statements.OPEN_DAY, {"tenant_id": list(tenant_ids)})


async def open_run(db: Database, tenant_id: str, run_id: str, budget: Budget) -> None:
    """Make the row of a run that gets a child, unless it has one or has ended."""
    params = {"run_id": [run_id], "running": RUNNING, **_ceilings(budget)}
    await db.fetch_locked(statements.LOCK_RUNS, statements.OPEN_RUN_BUDGET, params, tenant_id=tenant_id)


async def change(db: Database, tenant_id: str, run_id: str, budget: Budget, *, version: int | None) -> bool:
    """Give a run other ceilings, and make what waits for them due. ``False``: it has ended, or has another version."""
    document = budget_to_json(budget)
    params = {
        "run_id": [run_id],
        "version": version,
        "budget": orjson.dumps(document).decode(),
        "data": orjson.dumps({name: document[name] for name in CEILINGS}).decode(),
        **_ceilings(budget),
    }
    return bool(await db.fetch_locked(statements.LOCK_RUNS, statements.CHANGE_BUDGET, params, tenant_id=tenant_id))


async def lineage(db: Database, tenant_id: str, run_id: str) -> list[Ancestor]:
    """A run, its parent, and so on up; empty: there is no such run."""
    rows = await db.fetch_as(tenant_id, statements.READ_LINEAGE, {"run_id": run_id, "tenant_id": tenant_id})
    return [Ancestor(*row) for row in rows]


async def today(db: Database, tenant_id: str) -> Record | None:
    """The tenant's cap, as JSON text, and the row of its day; ``None`` when it has no cap."""
    rows = await db.fetch_as(tenant_id, statements.READ_DAY, {"tenant_id": tenant_id})
    return rows[0] if rows else None


def _ceilings(budget: Budget) -> Mapping[str, Any]:
    return {name: getattr(budget, name) for name in CEILINGS}
