"""Writes to whole runs: accept, end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentfleet.domain.model import NextStep
from agentfleet.domain.states import RunEvent, RunState, StepEvent, run_after, run_sources, step_sources
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id

ENDABLE: Mapping[RunState, list[str]] = {
    run_after(RunState.RUNNING, event): run_sources(event)
    for event in (RunEvent.CANCEL, RunEvent.EXPIRE, RunEvent.FAIL)
}
CANCELLABLE = step_sources(StepEvent.CANCEL)
CHILD_ERROR = '{"class": "parent_ended", "message": "its parent run was ended"}'


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be accepted. ``input`` is JSON text as posted, ``content`` the first message's, ``deadline`` seconds."""

    agent: str
    bundle_id: str
    pool: str
    input: str
    content: str
    first: NextStep
    priority: int = 0
    metadata: str = "{}"
    traceparent: str | None = None
    deadline: float | None = None
    key: str | None = None
    fingerprint: bytes | None = None
    lane: str | None = None
    parent_run_id: str | None = None
    """An unfinished run of the same tenant, out of whose budget it spends, too."""
    run_id: str = field(default_factory=new_id)
    step_id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that is committed; ``step_state`` tells whether its first step was admitted in the same transaction."""

    run_id: str
    step_id: str
    step_state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """Who took a request key first."""

    fingerprint: bytes
    run_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a run is: its version, its newest event's seq, its state."""

    version: int
    event_seq: int
    state: RunState


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that was ended from outside, and its steps that were cut off while running."""

    run_id: str
    agent: str
    state: RunState
    running_steps: list[str] = field(default_factory=list[str])


async def submit(db: Database, tenant_id: str, runs: Sequence[NewRun], *, window: int) -> dict[str, Accepted]:
    """Accept runs of one tenant in one transaction, by run id. Absent: its request key was taken before,
    or its parent has ended.
    """
    params: dict[str, Any] = {
        "tenant_id": tenant_id,
        "window": window,
        "run_id": [r.run_id for r in runs],
        "agent": [r.agent for r in runs],
        "bundle_id": [r.bundle_id for r in runs],
        "pool": [r.pool for r in runs],
        "priority": [r.priority for r in runs],
        "input": [r.input for r in runs],
        "content": [r.content for r in runs],
        "metadata": [r.metadata for r in runs],
        "traceparent": [r.traceparent for r in runs],
        "deadline": [r.deadline for r in runs],
        "key": [r.key for r in runs],
        "fingerprint": [r.fingerprint for r in runs],
        "lane": [r.lane for r in runs],
        "parent_run_id": [r.parent_run_id for r in runs],
        "step_id": [r.step_id for r in runs],
        "step_name": [r.first.name for r in runs],
        "step_input": [r.first.input for r in runs],
    }
    rows = await db.fetch_as(tenant_id, statements.SUBMIT_RUNS, params)
    return {row[0]: Accepted(*row) for row in rows}


async def taken_keys(db: Database, tenant_id: str, keys: Sequence[str]) -> dict[str, Taken]:
    """The runs that took these request keys, by key."""
    rows = await db.fetch_as(tenant_id, statements.FIND_REQUEST_KEYS, {"tenant_id": tenant_id, "key": list(keys)})
    return {row[0]: Taken(*row[1:]) for row in rows}


async def end(
    db: Database,
    run_ids: Sequence[str],
    state: RunState,
    *,
    data: str = "{}",
    error: str | None = None,
    tenant_id: str | None = None,
) -> list[Ended]:
    """End runs from outside as ``cancelled``, ``expired`` or ``failed``, and cancel their children.

    With ``tenant_id`` only that tenant's runs can be reached. A run that had already ended is absent.
    """
    params = {
        "run_id": list(run_ids),
        "endable": ENDABLE[state],
        "cancellable": CANCELLABLE,
        "state": state.value,
        "data": data,
        "error": error,
        "child_error": CHILD_ERROR,
        "cancellable_runs": ENDABLE[RunState.CANCELLED],
    }
    rows = await db.fetch_locked(statements.LOCK_TREES, statements.END_RUNS, params, tenant_id=tenant_id)
    ended: dict[str, Ended] = {}
    for run_id, agent, ended_as, step_id in rows:
        ended.setdefault(run_id, Ended(run_id, agent, RunState(ended_as))).running_steps.extend(
            [step_id] if step_id else []
        )
    return list(ended.values())


async def overdue(db: Database, *, limit: int) -> list[str]:
    """Runs whose deadline has passed."""
    return [row[0] for row in await db.fetch(statements.OVERDUE_RUNS, {"limit": limit})]


async def watch(db: Database, run_ids: Sequence[str]) -> dict[str, Seen]:
    """How far each run is, whoever's it is; absent ones do not exist. Callers check the tenant before they watch."""
    rows = await db.fetch(statements.WATCH_RUNS, {"run_id": list(run_ids)})
    return {row[0]: Seen(row[1], row[2], RunState(row[3])) for row in rows}


async def read_accepted(db: Database, tenant_id: str, run_ids: Sequence[str]) -> dict[str, Accepted]:
    """After a COMMIT whose outcome is unknown: which of these runs exist?"""
    rows = await db.fetch_as(tenant_id, statements.READ_ACCEPTED, {"run_id": list(run_ids)})
    return {row[0]: Accepted(*row) for row in rows}
