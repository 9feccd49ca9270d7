"""The batch lane's rows: steps that wait for a batch, batches under way, what came of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from agentfleet.domain.batch import PATIENCE, ItemState, Slack
from agentfleet.domain.model import Message
from agentfleet.domain.states import STEP_FINAL, StepState
from agentfleet.store import statements
from agentfleet.store.database import Database

OPEN_STEPS = sorted(state.value for state in set(StepState) - STEP_FINAL - {StepState.DEAD})
"""States of a step that may still need its result."""


@dataclass(frozen=True, slots=True)
class Item:
    """How far a step's request is: ``None`` before it has asked for a batch. ``waited`` in seconds since then.

    ``result`` is the provider's line, which arrived on ``day``, through ``account``.
    """

    slack: Slack
    state: ItemState | None
    waited: float
    result: str | None
    account: str | None
    day: date | None


@dataclass(frozen=True, slots=True)
class Unbatched:
    """A step that waits for a batch, with all that its request is made of; ``input`` is its loop state as JSON text.

    ``account`` is the provider's that the run is pinned to.
    """

    step_id: str
    run_id: str
    tenant_id: str
    bundle_id: str
    account: str | None
    model: str
    input: str
    slack: Slack
    prompt_tokens: int | None
    prompt_age: float | None
    conversation: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that has not ended for us; ``provider_id`` is ``None`` while nobody knows whether it was accepted.

    ``age`` in seconds; of its ``requests`` somebody waits for those ``wanted``, and those ``done`` need no result.
    """

    id: str
    account: str
    provider_id: str | None
    requests: int
    age: float
    created_at: datetime
    wanted: int
    done: int


async def read_item(db: Database, step_id: str) -> Item:
    """How far the request of a step is."""
    [(_, left, whole, state, waited, result, account, day)] = await db.fetch(
        statements.READ_BATCH_ITEMS, {"step_id": [step_id]}
    )
    return Item(Slack(left, whole), None if state is None else ItemState(state), waited or 0.0, result, account, day)


async def mark_item(db: Database, step_id: str, state: ItemState, *, was: ItemState | None) -> bool:
    """Put a step's request into ``state``; ``False`` when it was no longer as it ``was``."""
    params = {"step_id": [step_id], "state": state.value, "from_state": [] if was is None else [was.value]}
    return bool(await db.fetch(statements.MARK_BATCH_ITEMS, params))


async def unbatched(db: Database, *, limit: int, max_bytes: int) -> list[Unbatched]:
    """Steps that wait for a batch, soonest due first."""
    rows = await db.fetch(statements.FIND_UNBATCHED, {"limit": limit, "max_bytes": max_bytes})
    return [_unbatched(row) for row in rows]


async def open_batch(db: Database, batch_id: str, account: str, items: Sequence[tuple[str, str, float]]) -> set[str]:
    """Write a batch of ``(step id, custom id, seconds until it must call directly)``; the steps that are in it."""
    params: dict[str, Any] = {
        "batch_id": batch_id,
        "account": account,
        "step_id": [step_id for step_id, _, _ in items],
        "custom_id": [custom_id for _, custom_id, _ in items],
        "wait": [wait for _, _, wait in items],
    }
    return {row[0] for row in await db.fetch(statements.OPEN_BATCH, params)}


async def record(db: Database, batch_id: str, provider_id: str) -> bool:
    """The provider has accepted the batch under its own id; ``False`` when that was known."""
    return bool(await db.fetch(statements.RECORD_BATCH, {"batch_id": batch_id, "provider_id": provider_id}))


async def open_batches(db: Database) -> list[OpenBatch]:
    """Batches of which something may still be to come, oldest first."""
    return [OpenBatch(*row) for row in await db.fetch(statements.FIND_BATCHES, {"open_steps": OPEN_STEPS})]


async def known(db: Database, provider_ids: Sequence[str]) -> set[str]:
    """Which of the provider's batches are on record here."""
    return {row[0] for row in await db.fetch(statements.FIND_KNOWN_BATCHES, {"provider_id": list(provider_ids)})}


async def store_results(db: Database, results: Sequence[tuple[str, ItemState, str]]) -> Counter[ItemState]:
    """Store ``(custom id, state, line)`` and make their steps due; how many were new, by what became of them."""
    params = {
        "custom_id": [custom_id for custom_id, _, _ in results],
        "state": [state.value for _, state, _ in results],
        "result": [line for _, _, line in results],
        "open_steps": OPEN_STEPS,
    }
    return Counter({ItemState(row[0]): row[1] for row in await db.fetch(statements.STORE_BATCH_RESULTS, params)})


async def close(db: Database, batch_id: str, *, lost: bool, again: bool = False) -> int:
    """Nothing more is to come of the batch; how many requests got no result. ``again``: they wait for another one."""
    state = "lost" if lost else "ended"
    params = {"batch_id": batch_id, "state": state, "again": again, "patience": PATIENCE}
    return len(await db.fetch(statements.CLOSE_BATCH, params))


def _unbatched(row: tuple[Any, ...]) -> Unbatched:
    step_id, run_id, tenant_id, bundle_id, account, model, loop = row[:7]
    left, whole, prompt_tokens, prompt_age, turns, parts, roles, contents = row[7:]
    said = tuple(Message(*m) for m in zip(turns, parts, roles, contents, strict=True))
    slack = Slack(left, whole)
    return Unbatched(
        step_id, run_id, tenant_id, bundle_id, account, model, loop, slack, prompt_tokens, prompt_age, said
    )
