"""Runs and steps in any past state, and what the tables say about them afterwards."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import Row, Table, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from agentfleet.domain.model import Bundle, Claimed, NextStep, StepKind
from agentfleet.domain.plan import LoopState
from agentfleet.domain.states import RUN_FINAL, RunState, StepState
from agentfleet.store import runs as run_store
from agentfleet.store import steps as step_store
from agentfleet.store import tables
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id

POOL, TENANT, AGENT, MODEL = "default", "acme", "tester", "claude-test"
LEASE = 30.0
EFFECTS = {"look": "read", "book": "idempotent", "pay": "unsafe"}

BUNDLE = Bundle("bundle-1", AGENT, {
    "model": MODEL, "instructions": "Test.", "tools": [], "output_schema": None, "max_tokens": 1024, "budget": {},
    "tool_rules": {name: {"effect": effect} for name, effect in EFFECTS.items()}, "max_attempts": None,
})  # fmt: skip
"""What made runs are pinned to, unless a test says otherwise."""


@dataclass(frozen=True)
class Made:
    """A run with one step, as a factory made it."""

    run_id: str
    step_id: str
    fence: int


@dataclass
class Tally:
    """The rows of one run."""

    run: Row[Any]
    steps: list[Row[Any]]
    attempts: list[Row[Any]]
    messages: list[Row[Any]]
    events: list[Row[Any]]
    dead_letters: list[Row[Any]] = field(default_factory=list)

    @property
    def states(self) -> list[str]:
        """The states of its steps, in order of ``seq``."""
        return [step.state for step in self.steps]


async def save_bundle(db: Database, bundle: Bundle = BUNDLE) -> Bundle:
    """Store a bundle, which every run needs."""
    async with db.reading() as connection:
        row = {"id": bundle.id, "agent": bundle.agent, "spec": json.dumps(bundle.spec)}
        await connection.execute(upsert(tables.bundles).values(row).on_conflict_do_nothing())
    return bundle


def new_run(**changes: Any) -> run_store.NewRun:
    """A run as the ingress would accept it."""
    first = NextStep(StepKind.REASON, MODEL, 1, input=LoopState().dumps())
    values = {"agent": AGENT, "bundle_id": BUNDLE.id, "pool": POOL, "input": '"Go."', "first": first,
              "content": '[{"type":"text","text":"Go."}]'}  # fmt: skip
    return run_store.NewRun(**{**values, **changes})


async def submit(db: Database, tenant: str = TENANT, *, window: int = 1000, **changes: Any) -> run_store.Accepted:
    """Accept one run through the store."""
    await save_bundle(db)
    run = new_run(**changes)
    return (await run_store.submit(db, tenant, [run], window=window))[run.run_id]


async def make_step(
    db: Database,
    state: StepState = StepState.RUNNING,
    *,
    run_id: str | None = None,
    tenant: str = TENANT,
    lease: float = LEASE,
    due: float = 0.0,
    **columns: Any,
) -> Made:
    """Insert one step in a past state, and its run unless ``run_id`` says which.

    ``lease`` and ``due`` are in seconds from now (negative: past); ``columns`` overrule what follows from ``state``.
    """
    claimed = state not in {StepState.READY, StepState.DISPATCHED}
    row: dict[str, Any] = {
        "id": new_id(), "run_id": run_id, "tenant_id": tenant, "pool": POOL, "agent": AGENT, "seq": 0, "kind": "reason",
        "name": MODEL, "turn": 1, "input": LoopState().dumps(), "state": state.value, "fence": int(claimed),
        "attempt": int(claimed), "ready_at": func.agentfleet_now(),
        "dispatched_at": None if state is StepState.READY else func.agentfleet_now(),
        "claimed_at": func.agentfleet_now() if claimed else None,
        "lease_until": func.agentfleet_now() + timedelta(seconds=lease) if state is StepState.RUNNING else None,
        "not_before": func.agentfleet_now() + timedelta(seconds=due) if state is StepState.WAITING else None,
        "worker": "past:1" if state is StepState.RUNNING else None, **columns,
    }  # fmt: skip
    if run_id is None:
        waits = state is StepState.WAITING
        run_state = {StepState.WAITING: RunState.WAITING, StepState.DEAD: RunState.NEEDS_REVIEW}.get(
            state, RunState.RUNNING
        )
        row["run_id"] = await make_run(
            db, run_state, tenant=tenant, steps_total=row["seq"] + 1, open_steps=1, waiting_steps=int(waits)
        )
    async with db.reading() as connection:
        await connection.execute(insert(tables.steps).values(row))
    return Made(str(row["run_id"]), str(row["id"]), row["fence"])


async def make_tool(db: Database, name: str = "look", state: StepState = StepState.RUNNING, **columns: Any) -> Made:
    """A tool step of turn 2."""
    call = json.dumps({"call_id": "toolu_1", "arguments": {}})
    values = {"kind": "tool", "name": name, "turn": 2, "effect": EFFECTS.get(name), "input": call}
    return await make_step(db, state, **{**values, **columns})


async def make_run(db: Database, state: RunState = RunState.RUNNING, *, tenant: str = TENANT, **columns: Any) -> str:
    """Insert a run in a past state, without steps; returns its id."""
    await save_bundle(db)
    run_id = new_id()
    row = {
        "id": run_id, "tenant_id": tenant, "agent": AGENT, "bundle_id": BUNDLE.id, "pool": POOL, "state": state.value,
        "input": '"Go."', "blocked_on": "timer" if state is RunState.WAITING else None,
        "output": '"Done."' if state is RunState.SUCCEEDED else None,
        "finished_at": func.agentfleet_now() if state in RUN_FINAL else None, **columns,
    }  # fmt: skip
    message = {"run_id": run_id, "turn": 0, "part": 0, "role": "user", "content": '[{"type":"text","text":"Go."}]'}
    async with db.reading() as connection:
        await connection.execute(insert(tables.runs).values(row))
        await connection.execute(insert(tables.messages).values(message))
    return run_id


async def make_siblings(db: Database, count: int, **columns: Any) -> list[Made]:
    """A run in which the model asked for ``count`` tools at once, all running now."""
    run_id = await make_run(db, steps_total=count, open_steps=count)
    return [await make_tool(db, run_id=run_id, seq=part, part=part, **columns) for part in range(count)]


async def claim(db: Database, step_id: str, *, lease: float = LEASE) -> Claimed:
    """Claim a dispatched step as another worker would."""
    [claimed] = await step_store.claim(db, [step_id], worker="test:1", lease=lease)
    return claimed


async def tally(db: Database, run_id: str) -> Tally:
    """Everything the tables hold about one run."""

    async def rows(table: Table, *order: Any) -> list[Row[Any]]:
        query = select(table).where(table.c.run_id == run_id).order_by(*order)
        return list((await connection.execute(query)).all())

    async with db.reading() as connection:
        run = (await connection.execute(select(tables.runs).where(tables.runs.c.id == run_id))).one()
        steps = await rows(tables.steps, tables.steps.c.seq)
        mine = tables.attempts.c.step_id.in_([step.id for step in steps])
        query = select(tables.attempts).where(mine).order_by(tables.attempts.c.step_id, tables.attempts.c.fence)
        attempts = list((await connection.execute(query)).all())
        messages = await rows(tables.messages, tables.messages.c.turn, tables.messages.c.part)
        events = await rows(tables.run_events, tables.run_events.c.seq)
        return Tally(run, steps, attempts, messages, events, await rows(tables.dead_letters, tables.dead_letters.c.id))


async def step_row(db: Database, step_id: str) -> Row[Any]:
    """One step."""
    async with db.reading() as connection:
        return (await connection.execute(select(tables.steps).where(tables.steps.c.id == step_id))).one()


def execute(database_url: str, statement: str, *params: object) -> list[tuple[Any, ...]]:
    """One statement as the database's owner, whom row-level security does not bind."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []
