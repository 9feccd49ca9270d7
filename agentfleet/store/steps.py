"""The life of a step, statement by statement. Everything takes and returns many steps; one step is a list of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from agentfleet.domain.budget import Progress, Usage
from agentfleet.domain.model import Claimed, Doorbell, Message, StepKind
from agentfleet.domain.retry import ALONE, Company
from agentfleet.domain.states import StepEvent, step_sources
from agentfleet.store import statements
from agentfleet.store.database import Database

CLAIMABLE = step_sources(StepEvent.CLAIM)
RENEWABLE = step_sources(StepEvent.RENEW)
DISPATCHABLE = step_sources(StepEvent.DISPATCH)
RECALLABLE = step_sources(StepEvent.RECALL)
PROMOTABLE = step_sources(StepEvent.PROMOTE)
ADMISSION_SLACK = 30.0
"""Seconds after its expected time at which a step that nobody has admitted is promoted all the same."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A running step whose lease has ended; ``overdue`` in seconds.

    ``deaths`` is the evidence, JSON-safe and oldest first, this death included: ``worker``, ``fence``, ``attempt``,
    ``claimed_at`` and ``rescued_at`` of each.
    """

    step_id: str
    run_id: str
    agent: str
    kind: StepKind
    name: str
    seq: int
    effect: str | None
    fence: int
    attempt: int
    crashes: int
    snoozes: int
    worker: str | None
    overdue: float
    company: Company
    deaths: list[dict[str, Any]]
    prompt_tokens: int
    """Of a model call: its prompt, as far as that was known."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many steps of ``pool`` are in ``state``, and the age in seconds of the oldest."""

    pool: str
    state: str
    steps: int
    oldest: float


async def claim(db: Database, step_ids: Sequence[str], *, worker: str, lease: float) -> list[Claimed]:
    """Claim what can be claimed of ``step_ids``; the others were stale, duplicated or forged."""
    rows = await db.fetch(
        statements.CLAIM_STEPS, {"step_id": list(step_ids), "claimable": CLAIMABLE, "worker": worker, "lease": lease}
    )
    return [_claimed(row) for row in rows]


async def renew(db: Database, fences: Mapping[str, int], *, lease: float) -> dict[str, bool]:
    """Renew the leases of ``{step id: fence}``; returns those that are still held, and whether each was renewed: one
    whose row somebody holds at this moment was not.
    """
    rows = await db.fetch(
        statements.RENEW_LEASES,
        {"step_id": list(fences), "fence": list(fences.values()), "renewable": RENEWABLE, "lease": lease},
    )
    return {row[0]: row[1] for row in rows}


async def dispatch(db: Database, pool: str, *, window: int) -> list[Doorbell]:
    """Move as much of the backlog as fits the window to ``dispatched``; the caller publishes it."""
    rows = await db.fetch(statements.DISPATCH_STEPS, {"pool": pool, "window": window, "dispatchable": DISPATCHABLE})
    return [_doorbell(row) for row in rows]


async def republish(db: Database, pool: str, *, after: float, slack: int, limit: int) -> list[Doorbell]:
    """Dispatched steps whose message is probably lost; the caller publishes them again.

    Lost is what is unclaimed for ``after`` seconds, and for ``slack`` times as long as messages took of late.
    """
    rows = await db.fetch(statements.REPUBLISH_STEPS, {"pool": pool, "after": after, "slack": slack, "limit": limit})
    return [_doorbell(row) for row in rows]


async def recall(db: Database, step_ids: Sequence[str]) -> int:
    """Return unclaimed messages' steps to ready; how many."""
    return len(await db.fetch(statements.RECALL_STEPS, {"step_id": list(step_ids), "recallable": RECALLABLE}))


async def promote(db: Database, *, limit: int) -> dict[str, int]:
    """Make waiting steps that are due ready; how many per pool."""
    rows = await db.fetch(
        statements.PROMOTE_STEPS, {"limit": limit, "promotable": PROMOTABLE, "admission_slack": ADMISSION_SLACK}
    )
    return {row[0]: row[1] for row in rows}


async def expired(db: Database, *, limit: int, lease: float) -> list[Expired]:
    """Running steps whose lease has ended, the longest overdue first. ``lease`` in seconds is what claims ask for."""
    rows = await db.fetch(statements.EXPIRED_LEASES, {"limit": limit, "lease": lease})
    return [_expired(row) for row in rows]


async def count(db: Database) -> list[Count]:
    """Open steps by pool and state."""
    return [Count(*row) for row in await db.fetch(statements.COUNT_STEPS, {})]


async def bury_message(db: Database, dead_letter_id: str, raw: bytes, problem: str) -> None:
    """Keep a message that belongs to no step."""
    await db.fetch(
        statements.BURY_MESSAGE,
        {
            "id": dead_letter_id,
            "raw": raw,
            "error": orjson.dumps({"class": "unreadable_message", "message": problem}).decode(),
        },
    )


def _expired(row: tuple[Any, ...]) -> Expired:
    size, likelier, tied, quick, deaths, prompt_tokens = row[13:]
    company = ALONE if size is None else Company(size, likelier, tied, quick)
    return Expired(
        row[0],
        row[1],
        row[2],
        StepKind(row[3]),
        *row[4:13],
        company=company,
        deaths=deaths,
        prompt_tokens=prompt_tokens,
    )


def _doorbell(row: tuple[Any, ...]) -> Doorbell:
    step_id, run_id, pool, agent, kind, name, seq, attempt, traceparent = row
    return Doorbell(step_id, run_id, pool, agent, kind, name, seq, attempt, traceparent)


def _claimed(row: tuple[Any, ...]) -> Claimed:
    (
        step_id,
        run_id,
        tenant_id,
        agent,
        bundle_id,
        pool,
        seq,
        kind,
        name,
        turn,
        part,
        step_input,
        effect,
        fence,
        attempt,
        crashes,
        snoozes,
        queue_wait,
        run_age,
        deadline_at,
        traceparent,
        metadata,
        steps_total,
        tool_calls,
        input_tokens,
        output_tokens,
        cache_read,
        cache_write,
        cost_usd,
        priority,
        account,
        lane,
        budget,
        parent_run_id,
        prompt_tokens,
        prompt_age,
        metered,
        turns,
        parts,
        roles,
        contents,
    ) = row
    usage = Usage(input_tokens, output_tokens, cache_read, cache_write, Decimal(cost_usd))
    said = zip(turns, parts, roles, contents, strict=True) if turns else ()
    return Claimed(
        step_id,
        run_id,
        tenant_id,
        agent,
        bundle_id,
        pool,
        seq,
        StepKind(kind),
        name,
        turn,
        part,
        step_input,
        effect,
        fence,
        attempt,
        crashes,
        snoozes,
        queue_wait,
        run_age,
        deadline_at,
        traceparent,
        orjson.loads(metadata),
        Progress(steps_total, tool_calls, usage),
        priority,
        account,
        lane,
        budget,
        parent_run_id,
        prompt_tokens,
        prompt_age,
        tuple(Message(*m) for m in said),
        metered,
    )
