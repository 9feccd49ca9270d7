"""Dead letters: as people read them, and what they do about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update

from agentfleet.domain.states import RunEvent, StepEvent, run_sources, step_sources
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from agentfleet.store.reads import Record
from agentfleet.store.tables import dead_letters, messages, runs, steps

REPLAYABLE = step_sources(StepEvent.REPLAY)
REPLAYABLE_RUNS = run_sources(RunEvent.REPLAY)
SIGNED = r'"type"\s*:\s*"(redacted_)?thinking"'
"""A block that the provider has bound to the instructions and to all that was said before it."""

_PLACE = (steps.c.seq, steps.c.kind, steps.c.name, steps.c.agent)
LETTERS = select(dead_letters, *_PLACE).join(steps, steps.c.id == dead_letters.c.step_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: those for which all that is given holds. ``name`` is the step's: a tool's or a model's.

    ``until`` is the largest id; ``unsigned``: only of runs whose history is bound to no instructions.
    """

    state: str | None = None
    ids: tuple[str, ...] = ()
    fingerprint: str | None = None
    verdict: str | None = None
    agent: str | None = None
    name: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    until: str | None = None
    unsigned: bool = False

    def clauses(self) -> list[ColumnElement[bool]]:
        """For a query over ``dead_letters`` and ``steps``."""
        letter = dead_letters.c
        equal = {
            letter.state: self.state,
            letter.fingerprint: self.fingerprint,
            letter.verdict: self.verdict,
            steps.c.agent: self.agent,
            steps.c.name: self.name,
        }
        clauses = [column == value for column, value in equal.items() if value is not None]
        if self.ids:
            clauses.append(letter.id.in_([UUID(one) for one in self.ids]))
        if self.created_after is not None:
            clauses.append(letter.created_at >= self.created_after)
        if self.created_before is not None:
            clauses.append(letter.created_at < self.created_before)
        if self.until is not None:
            clauses.append(letter.id <= UUID(self.until))
        if self.unsigned:
            clauses.append(~is_signed())
        return clauses


def is_signed() -> ColumnElement[bool]:
    """Whether the model's reasoning in the dead letter's run is bound to what came before it."""
    said = messages.c.run_id == dead_letters.c.run_id, messages.c.role == "assistant"
    return select(messages.c.run_id).where(*said, messages.c.content.regexp_match(SIGNED)).exists()


@dataclass(frozen=True, slots=True)
class Replay:
    """How one dead letter's step comes back. ``action`` is ``replay`` or ``skip``; what is ``None`` stays as it is.

    ``resolution`` is the JSON text that the dead letter keeps, ``data`` the JSON object of the run's event ``event``.
    ``input`` and ``name`` are the step's; ``bundle_id`` is the run's, and so are ``run_input`` with its message
    ``first``; ``message`` is appended at ``message_turn`` and ``message_part`` (both are JSON texts of content blocks).
    """

    dead_letter_id: str
    action: str
    resolution: str
    event: str
    data: str
    input: str | None = None
    name: str | None = None
    bundle_id: str | None = None
    run_input: str | None = None
    first: str | None = None
    message: str | None = None
    message_turn: int | None = None
    message_part: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What there is of a conversation: whether the model has answered, with signed reasoning, and its last message."""

    answered: bool
    signed: bool
    role: str
    turn: int
    part: int


async def page(db: Database, tenant_id: str, which: Filter, *, before: str | None, limit: int) -> Sequence[Record]:
    """The tenant's dead letters, newest first, older than the id ``before``."""
    query = LETTERS.where(*which.clauses()).order_by(dead_letters.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(dead_letters.c.id < UUID(before))
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query)).all()


async def get(db: Database, tenant_id: str, dead_letter_id: str) -> Record | None:
    """One dead letter with its step and its run, or ``None`` when this tenant has none of that id."""
    more = (
        steps.c.input, steps.c.effect, steps.c.turn, runs.c.bundle_id, runs.c.input.label("run_input"),
        runs.c.state.label("run_state"), runs.c.cost_usd, runs.c.input_tokens, runs.c.output_tokens,
        runs.c.cache_read_tokens, runs.c.cache_write_tokens, runs.c.steps_total, runs.c.tool_calls,
    )  # fmt: skip
    query = (
        LETTERS.add_columns(*more)
        .join(runs, runs.c.id == dead_letters.c.run_id)
        .where(dead_letters.c.id == UUID(dead_letter_id))
    )
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query)).one_or_none()


async def last_messages(db: Database, tenant_id: str, run_id: str, *, limit: int) -> list[Record]:
    """The end of the run's conversation, in order, exactly as it was sent and received."""
    query = (
        select(messages)
        .where(messages.c.run_id == UUID(run_id))
        .order_by(messages.c.turn.desc(), messages.c.part.desc())
        .limit(limit)
    )
    async with db.reading(tenant_id) as connection:
        return [*reversed((await connection.execute(query)).all())]


async def what_was_said(db: Database, tenant_id: str, run_id: str) -> Said:
    """How far the run's conversation is."""
    answer = messages.c.role == "assistant"
    query = select(
        func.coalesce(func.bool_or(answer), False).label("answered"),
        func.coalesce(func.bool_or(answer & messages.c.content.regexp_match(SIGNED)), False).label("signed"),
    ).where(messages.c.run_id == UUID(run_id))
    async with db.reading(tenant_id) as connection:
        found = (await connection.execute(query)).one()
    [last] = await last_messages(db, tenant_id, run_id, limit=1)
    return Said(found.answered, found.signed, last.role, last.turn, last.part)


async def open_run(db: Database, tenant_id: str, dead_letter_id: str) -> str | None:
    """The run of an open dead letter, or ``None``."""
    query = select(dead_letters.c.run_id).where(
        dead_letters.c.id == UUID(dead_letter_id), dead_letters.c.state == "open"
    )
    async with db.reading(tenant_id) as connection:
        run_id = await connection.scalar(query)
    return None if run_id is None else str(run_id)


async def replay(
    db: Database, tenant_id: str, replays: Sequence[Replay], *, actor: str | None, priority: int | None = None
) -> list[tuple[str, str, str, str]]:
    """Put dead letters' steps back: ``(dead letter id, step id, run id, pool)`` for each that was open.

    With ``actor``, an API key's id, each of them goes into the audit. ``priority`` is their steps' from now on, or else
    that of their runs.
    """
    params: dict[str, Any] = {
        "dead_letter_id": [one.dead_letter_id for one in replays],
        "action": [one.action for one in replays],
        "resolution": [one.resolution for one in replays],
        "event": [one.event for one in replays],
        "data": [one.data for one in replays],
        "input": [one.input for one in replays],
        "name": [one.name for one in replays],
        "bundle_id": [one.bundle_id for one in replays],
        "run_input": [one.run_input for one in replays],
        "first": [one.first for one in replays],
        "message": [one.message for one in replays],
        "message_turn": [one.message_turn for one in replays],
        "message_part": [one.message_part for one in replays],
        "audit_id": [new_id() for _ in replays],
        "actor": actor,
        "priority": priority,
        "replayable": REPLAYABLE,
        "replayable_runs": REPLAYABLE_RUNS,
    }
    rows = await db.fetch_locked(statements.LOCK_REVIEWS, statements.REPLAY_DEAD_LETTERS, params, tenant_id=tenant_id)
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def resolve(db: Database, tenant_id: str, dead_letter_id: str, resolution: str) -> None:
    """Write down how a dead letter was dealt with that has been discarded."""
    query = update(dead_letters).where(
        dead_letters.c.id == UUID(dead_letter_id),
        dead_letters.c.state == "discarded",
        dead_letters.c.resolution.is_(None),
    )
    async with db.reading(tenant_id) as connection:
        await connection.execute(query.values(resolution=resolution))


async def prune(db: Database, *, days: int, limit: int) -> int:
    """Delete what was dealt with ``days`` ago, and unreadable messages of that age; how many."""
    return len(await db.fetch(statements.PRUNE_DEAD_LETTERS, {"days": days, "limit": limit}))


async def unreadable(db: Database, *, limit: int) -> Sequence[Record]:
    """Messages on our queues that are no steps, newest first. They are no tenant's: for the fleet's role only."""
    query = (
        select(dead_letters.c.id, dead_letters.c.created_at, dead_letters.c.error, dead_letters.c.raw)
        .where(dead_letters.c.step_id.is_(None))
        .order_by(dead_letters.c.id.desc())
        .limit(limit)
    )
    async with db.reading() as connection:
        return (await connection.execute(query)).all()
