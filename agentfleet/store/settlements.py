"""Settlements as the arrays of ``settle_steps.sql``, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentfleet.domain.model import Doorbell, Settlement
from agentfleet.domain.states import RUN_OPEN, STEP_TRANSITIONS, StepEvent, StepState, step_sources
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id

ENDS_AN_ATTEMPT = (
    StepEvent.SUCCEED,
    StepEvent.RETRY,
    StepEvent.SNOOZE,
    StepEvent.HAND_BACK,
    StepEvent.BURY,
    StepEvent.CANCEL,
)
SETTLEABLE = [
    state.value for state in StepState if all((state, event) in STEP_TRANSITIONS for event in ENDS_AN_ATTEMPT)
]
CANCELLABLE = step_sources(StepEvent.CANCEL)
OPEN_RUNS = sorted(state.value for state in RUN_OPEN)


@dataclass(slots=True)
class Written:
    """What one settle transaction did: the settlements that were ours to make, and the steps it created."""

    settled: set[str] = field(default_factory=set[str])
    dispatched: list[Doorbell] = field(default_factory=list[Doorbell])
    """Created and admitted: to be published."""
    backlogged: set[str] = field(default_factory=set[str])
    """Pools in which a step had to stay ready or waits for the provider: their dispatcher should wake."""
    alarming: list[str] = field(default_factory=list[str])
    """Budgets of which four fifths are used, and nobody has been told."""


async def settle(
    db: Database, settlements: Sequence[tuple[Settlement, str]], *, window: int, release: str | None = None
) -> Written:
    """Write ``(settlement, worker)`` pairs in one transaction. Zero rows for one: it was not ours any more.

    ``release`` is that of the code that ran them, when it is known.
    """
    params: dict[str, Any] = {
        "settleable": SETTLEABLE,
        "cancellable": CANCELLABLE,
        "open_runs": OPEN_RUNS,
        "window": window,
        "release": release,
        **_settlement_columns(settlements),
        **_message_columns(settlements),
        **_step_columns(settlements),
        **_event_columns(settlements),
    }
    written = Written()
    queued = {s.step_id for s, _ in settlements if s.bucket is not None}
    for what, step_id, run_id, pool, agent, seq, kind, name, traceparent in await db.fetch(
        statements.SETTLE_STEPS, params
    ):
        match what:
            case "settled":
                written.settled.add(step_id)
                if step_id in queued:
                    written.backlogged.add(pool)
            case StepState.DISPATCHED:
                written.dispatched.append(Doorbell(step_id, run_id, pool, agent, kind, name, seq, 1, traceparent))
            case "alarming":
                written.alarming.append(step_id)  # the budget's id
            case _:
                written.backlogged.add(pool)
    return written


async def read_settled(db: Database, settlements: Sequence[tuple[Settlement, str]]) -> set[str]:
    """Which of these were written, when nobody knows whether their commit arrived."""
    params = {"step_id": [s.step_id for s, _ in settlements], "fence": [s.fence for s, _ in settlements]}
    return {row[0] for row in await db.fetch(statements.READ_SETTLED, params)}


async def read_free(db: Database, settlements: Sequence[tuple[Settlement, str]]) -> set[str]:
    """The steps of these that nobody else is writing at the moment, nor their runs."""
    return {row[0] for row in await db.fetch(statements.READ_FREE, {"step_id": [s.step_id for s, _ in settlements]})}


def _settlement_columns(settlements: Sequence[tuple[Settlement, str]]) -> dict[str, list[Any]]:
    rows = [s for s, _ in settlements]
    return {
        "step_id": [s.step_id for s in rows],
        "run_id": [s.run_id for s in rows],
        "fence": [s.fence for s in rows],
        "event": [s.event.value for s in rows],
        "state": [s.state.value for s in rows],
        "spent": [s.spent for s in rows],
        "crashed": [s.crashed for s in rows],
        "snoozed": [s.snoozed for s in rows],
        "expired_only": [s.expired_only for s in rows],
        "delay": [s.delay for s in rows],
        "blocked_on": [s.blocked_on for s in rows],
        "bucket": [s.bucket for s in rows],
        "input_estimate": [s.input_estimate for s in rows],
        "output_estimate": [s.output_estimate for s in rows],
        "fingerprint": [s.fingerprint for s in rows],
        "account": [s.account for s in rows],
        "prompt_tokens": [s.prompt_tokens for s in rows],
        "verdict": [s.verdict for s in rows],
        "error": [s.error for s in rows],
        "request_id": [s.request_id for s in rows],
        "usage": [s.usage_raw for s in rows],
        "input_tokens": [s.usage.input_tokens for s in rows],
        "output_tokens": [s.usage.output_tokens for s in rows],
        "cache_read_tokens": [s.usage.cache_read_tokens for s in rows],
        "cache_write_tokens": [s.usage.cache_write_tokens for s in rows],
        "cost_usd": [s.usage.cost_usd for s in rows],
        "tool_calls": [s.tool_calls for s in rows],
        "run_state": [s.run_state for s in rows],
        "run_output": [s.run.output if s.run else None for s in rows],
        "run_error": [s.run.error if s.run else None for s in rows],
        "dead_letter_id": [new_id() if s.state is StepState.DEAD else None for s in rows],
        "worker": [worker for _, worker in settlements],
    }


def _message_columns(settlements: Sequence[tuple[Settlement, str]]) -> dict[str, list[Any]]:
    rows = [(ord_, m) for ord_, (s, _) in enumerate(settlements, 1) for m in s.messages]
    return {
        "m_ord": [ord_ for ord_, _ in rows],
        "m_turn": [m.turn for _, m in rows],
        "m_part": [m.part for _, m in rows],
        "m_role": [m.role for _, m in rows],
        "m_content": [m.content for _, m in rows],
    }


def _step_columns(settlements: Sequence[tuple[Settlement, str]]) -> dict[str, list[Any]]:
    rows = [(ord_, n) for ord_, (s, _) in enumerate(settlements, 1) for n in s.steps]
    return {
        "n_ord": [ord_ for ord_, _ in rows],
        "n_id": [new_id() for _ in rows],
        "n_kind": [n.kind.value for _, n in rows],
        "n_name": [n.name for _, n in rows],
        "n_turn": [n.turn for _, n in rows],
        "n_part": [n.part for _, n in rows],
        "n_input": [n.input for _, n in rows],
        "n_effect": [n.effect for _, n in rows],
        "n_joining": [n.join for _, n in rows],
    }


def _event_columns(settlements: Sequence[tuple[Settlement, str]]) -> dict[str, list[Any]]:
    rows = [(ord_, nth, e) for ord_, (s, _) in enumerate(settlements, 1) for nth, e in enumerate(s.events)]
    return {
        "e_ord": [ord_ for ord_, _, _ in rows],
        "e_nth": [nth for _, nth, _ in rows],
        "e_type": [e.type for _, _, e in rows],
        "e_data": [e.data for _, _, e in rows],
    }
