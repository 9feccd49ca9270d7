"""Batch: what a claimed reason step of the batch lane does: wait for a batch, take its answer, or call directly.

Nobody has to wake a step in time: it waits until the deadline is so near that it must call directly, and is due then,
whatever has become of the batch. A result that arrives makes it due earlier.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import structlog

from agentfleet.domain.batch import LEAST_WAIT, PATIENCE, ItemState
from agentfleet.domain.errors import StepError
from agentfleet.domain.model import Claimed
from agentfleet.engine.ports import Reasoned
from agentfleet.store import batches
from agentfleet.store.batches import Item
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.batch")

GRACE = 5.0
"""Seconds by which a step may be due too early: it has waited in vain all the same."""
_DIRECT = (None, ItemState.SPILLED)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for ``seconds``, unless a result comes."""

    seconds: float


class BatchLane:
    """Decides for one claimed step. ``read`` makes a turn of a result that arrived on a day, or raises its refusal;
    ``margin`` in seconds is the setting.
    """

    def __init__(self, db: Database, read: Callable[[str, date], Reasoned], *, margin: float | None) -> None:
        self._db, self._read, self._margin = db, read, margin

    async def __call__(self, claimed: Claimed) -> Reasoned | Wait | None:
        """The answer; or how long to wait for it; or ``None``: call directly.

        Raises the ``StepError`` with which the provider has refused the request.
        """
        while True:
            item = await batches.read_item(self._db, claimed.step_id)
            if item.state is ItemState.SUCCEEDED or item.state is ItemState.FAILED:
                return await self._answer(claimed, item)
            wait = self._wait(item)
            if wait is None and (item.state in _DIRECT or await self._spill(claimed, item)):
                return None
            if wait is not None and (item.state is not None or await self._ask(claimed)):
                return Wait(wait)  # else it has just been answered, or somebody else's claim has asked: look again

    async def answered(self, claimed: Claimed) -> Reasoned | None:
        """The answer if it is there, which is paid for whatever happens now."""
        item = await batches.read_item(self._db, claimed.step_id)
        return await self._answer(claimed, item) if item.state is ItemState.SUCCEEDED else None

    def _wait(self, item: Item) -> float | None:
        """Seconds for which the step should wait; ``None``: it should not."""
        left = item.slack.spill_in(self._margin)
        match item.state:
            case None:
                return min(left, PATIENCE) if left >= LEAST_WAIT else None
            case ItemState.WAITING:
                patience = min(left, PATIENCE - item.waited)
            case ItemState.SENDING:
                patience = left
            case _:
                return None
        return patience if patience > GRACE else None

    async def _ask(self, claimed: Claimed) -> bool:
        return await batches.mark_item(self._db, claimed.step_id, ItemState.WAITING, was=None)

    async def _answer(self, claimed: Claimed, item: Item) -> Reasoned | None:
        try:
            reasoned = self._read(item.result or "", item.day or date.max)
        except StepError:
            # From now on it calls directly: a replay does, and a step whose result cannot be read.
            await batches.mark_item(self._db, claimed.step_id, ItemState.SPILLED, was=item.state)
            if item.state is ItemState.FAILED:
                raise
            log.exception("batch_result_unreadable", step_id=claimed.step_id)
            return None
        return reasoned if item.account is None else replace(reasoned, account=item.account)

    async def _spill(self, claimed: Claimed, item: Item) -> bool:
        spilled = await batches.mark_item(self._db, claimed.step_id, ItemState.SPILLED, was=item.state)
        if spilled:
            metrics.BATCH_ITEMS.labels(ItemState.SPILLED.value).inc()
            log.info("batch_spilled", was=item.state)
        return spilled
