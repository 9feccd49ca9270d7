"""Rows as JSON documents. Stored JSON texts go out byte for byte; a version of a run always gives the same bytes, but
for ``waiting`` and ``expires_at``, which are as of the answer.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from agentfleet.domain.model import StepKind
from agentfleet.domain.retention import Keep
from agentfleet.domain.states import RunState
from agentfleet.domain.waiting import Waiting
from agentfleet.store.clusters import Cluster
from agentfleet.store.reads import Record

Document = dict[str, Any]


def dumps(document: object) -> bytes:
    """JSON, UTF-8."""
    return orjson.dumps(document)


def accepted(run_id: str, agent: str, state: str, created_at: datetime) -> Document:
    """The answer to a submitted run."""
    return {"id": run_id, "status": state, "agent": agent, "created_at": when(created_at), "urls": urls(run_id)}


def run(row: Record, model: str, why: Waiting | None, budget: Document, keep: Keep) -> Document:
    """A whole run, why it waits, what it may spend, and until when it is there."""
    return {**run_summary(row, model, why, keep), "budget": budget, "input": raw(row.input), "output": raw(row.output)}


def run_summary(row: Record, model: str, why: Waiting | None, keep: Keep) -> Document:
    """A run without its large documents."""
    return {
        **accepted(str(row.id), row.agent, row.state, row.created_at),
        "blocked_on": row.blocked_on,
        "waiting": None if why is None else waiting(why),
        "model": model,
        "bundle_id": row.bundle_id,
        "account": row.account,
        "parent_run_id": None if row.parent_run_id is None else str(row.parent_run_id),
        "priority": row.priority,
        "metadata": raw(row.metadata),
        "error": raw(row.error),
        "usage": {
            "steps": row.steps_total,
            "tool_calls": row.tool_calls,
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "cache_read_tokens": row.cache_read_tokens,
            "cache_write_tokens": row.cache_write_tokens,
            "cost_usd": money(row.cost_usd),
        },
        "version": row.version,
        "started_at": when(row.started_at),
        "finished_at": when(row.finished_at),
        "deadline_at": when(row.deadline_at),
        "expires_at": when(keep.expires_at(row.finished_at, succeeded=row.state == RunState.SUCCEEDED)),
        "details_deleted_at": when(row.stripped_at),
    }


def waiting(why: Waiting) -> Document:
    """Why a run waits."""
    expected = why.expected_finish
    return {
        "blocked_on": why.blocked_on,
        "detail": why.detail,
        "since": when(why.since),
        "position": why.position,
        "expected_start": when(why.expected_start),
        "expected_finish": None if expected is None else {"p50": when(expected.p50), "p90": when(expected.p90)},
    }


def step(row: Record) -> Document:
    """One step. ``input`` is a tool call's; a reason step's input is the conversation."""
    return {
        "id": str(row.id),
        "seq": row.seq,
        "kind": row.kind,
        "name": row.name,
        "status": row.state,
        "turn": row.turn,
        "part": row.part,
        "effect": row.effect,
        "input": raw(row.input) if row.kind == StepKind.TOOL else None,
        "attempt": row.attempt,
        "crashes": row.crashes,
        "snoozes": row.snoozes,
        "worker": row.worker,
        "error": raw(row.error),
        "created_at": when(row.created_at),
        "ready_at": when(row.ready_at),
        "dispatched_at": when(row.dispatched_at),
        "claimed_at": when(row.claimed_at),
        "not_before": when(row.not_before),
        "finished_at": when(row.finished_at),
    }


def attempt(row: Record) -> Document:
    """One ended try at a step."""
    return {
        "attempt": row.attempt,
        "fence": row.fence,
        "outcome": row.outcome,
        "verdict": row.verdict,
        "error": raw(row.error),
        "worker": row.worker,
        "release": row.release,
        "request_id": row.request_id,
        "dispatched_at": when(row.dispatched_at),
        "claimed_at": when(row.claimed_at),
        "finished_at": when(row.finished_at),
        "usage": raw(row.usage),
        "cost_usd": money(row.cost_usd),
    }


def message(row: Record) -> Document:
    """One part of the conversation; ``content`` is exactly what was sent or received."""
    return {
        "turn": row.turn,
        "part": row.part,
        "role": row.role,
        "content": raw(row.content),
        "step_id": None if row.step_id is None else str(row.step_id),
    }


def event(row: Record) -> Document:
    """One event of a run."""
    return {"seq": row.seq, "type": row.type, "created_at": when(row.created_at), "data": raw(row.data)}


def dead_letter(row: Record) -> Document:
    """A step that was given up on."""
    return {
        "id": str(row.id),
        "status": row.state,
        "run_id": str(row.run_id),
        "agent": row.agent,
        "step": {"id": str(row.step_id), "seq": row.seq, "kind": row.kind, "name": row.name},
        "verdict": row.verdict,
        "error": raw(row.error),
        "fingerprint": row.fingerprint,
        "resolution": raw(row.resolution),
        "created_at": when(row.created_at),
        "resolved_at": when(row.resolved_at),
    }


def dead_letter_detail(row: Record, tries: Sequence[Record], said: Sequence[Record]) -> Document:
    """The same with its step's attempts, the end of the conversation and what its run has spent."""
    asked = [one.request_id for one in tries if one.request_id is not None]
    tokens = row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens
    spent = {"steps": row.steps_total, "tool_calls": row.tool_calls, "tokens": tokens, "cost_usd": money(row.cost_usd)}
    return {
        **dead_letter(row),
        "request_id": asked[-1] if asked else None,
        "attempts": [attempt(one) for one in tries],
        "messages": [message(one) for one in said],
        "run": {"status": row.run_state, **spent},
    }


def cluster(found: Cluster) -> Document:
    """Dead letters of one kind."""
    return {
        "fingerprint": found.fingerprint,
        "verdict": found.verdict,
        "agent": found.agent,
        "kind": found.kind,
        "name": found.name,
        "error": raw(found.error),
        "count": found.count,
        "runs": found.runs,
        "first_seen": when(found.first_seen),
        "last_seen": when(found.last_seen),
        "cost_usd": money(found.cost_usd),
        "tokens": found.tokens,
        "newest": found.newest,
    }


def urls(run_id: str) -> Mapping[str, str]:
    """Where to go on."""
    own = f"/v1/runs/{run_id}"
    return {
        "self": own,
        "events": f"{own}/events",
        "steps": f"{own}/steps",
        "messages": f"{own}/messages",
        "result": f"{own}/result",
        "cancel": f"{own}/cancel",
    }


def raw(text: str | None) -> orjson.Fragment | None:
    """Stored JSON text, as it is."""
    return None if text is None else orjson.Fragment(text)


def when(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def money(amount: Decimal) -> str:
    """US dollars as a decimal text: a double would round it."""
    return format(amount.normalize(), "f") if amount else "0"
