"""Settle: the only writer of outcomes.

A settlement is a value that was decided before (``domain.settlement``). Here it is written, many at a time, in one
transaction with its messages, events, usage, dead letter and next steps; after the commit the steps that the same
transaction admitted are published. Zero rows means that the step was not ours any more: dropped and counted.

A commit whose outcome is unknown (the connection was lost in it) is re-read by key: the attempts row carries the fence
and only this statement writes it. What is missing is written again; what is there is done. The messages of its next
steps may not have been sent, and the reconciler sends them.
"""

import asyncio
from collections.abc import Sequence

import structlog

from agentfleet.domain.model import Settlement
from agentfleet.domain.states import StepEvent
from agentfleet.engine.batcher import Batcher
from agentfleet.engine.ports import Publisher
from agentfleet.store import settlements as store
from agentfleet.store.database import LOST_CONNECTION, UNWRITABLE, Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.settle")

RECONNECT_DELAY = 0.5
"""Seconds between tries while the database is away: the outcome is paid for, so it is kept until the lease decides."""


class Settler:
    """Writes settlements; concurrent ones share a transaction. ``release`` is that of the worker that ran the steps."""

    def __init__(self, db: Database, publisher: Publisher, *, window: int, release: str | None = None) -> None:
        self._db, self._publisher, self._window, self._release = db, publisher, window, release
        self._batch: Batcher[tuple[Settlement, str], bool] = Batcher(self._settle, splits=UNWRITABLE)

    async def __call__(self, settlement: Settlement, worker: str) -> bool:
        """Write it; ``False`` when the step was not ours any more. Raises one of ``UNWRITABLE`` for such data."""
        ours = await self._batch((settlement, worker))
        if ours:
            _count(settlement)
        else:
            metrics.FENCE_REJECTIONS.inc()
            log.warning("result_dropped", step_id=settlement.step_id, run_id=settlement.run_id, fence=settlement.fence)
        return ours

    async def _settle(self, batch: Sequence[tuple[Settlement, str]]) -> Sequence[bool]:
        written = store.Written()
        todo = list(batch)
        while True:
            try:
                latest = await store.settle(self._db, todo, window=self._window, release=self._release)
                break
            except LOST_CONNECTION as error:
                log.warning("settle_outcome_unknown", error=str(error), settlements=len(todo))
                done = await self._reread(todo)
                written.settled |= done
                todo = [pair for pair in todo if pair[0].step_id not in done]
                if not todo:
                    latest = store.Written()
                    break
        written.settled |= latest.settled
        if latest.dispatched:
            metrics.DISPATCHED.labels("fast").inc(len(latest.dispatched))
            await self._publisher.publish(latest.dispatched)
        for pool in latest.backlogged:
            await self._publisher.wake(pool)
        return [settlement.step_id in written.settled for settlement, _ in batch]

    async def _reread(self, batch: Sequence[tuple[Settlement, str]]) -> set[str]:
        while True:
            await asyncio.sleep(RECONNECT_DELAY)
            try:
                return await store.read_settled(self._db, batch)
            except LOST_CONNECTION as error:
                log.warning("reread_failed", error=str(error))


def _count(settlement: Settlement) -> None:
    match settlement.event:
        case StepEvent.RETRY | StepEvent.SNOOZE | StepEvent.HAND_BACK:
            metrics.STEP_RETRIES.labels(settlement.verdict or "").inc()
        case StepEvent.BURY:
            metrics.DEAD_LETTERS.labels(settlement.verdict or "").inc()
        case StepEvent.CANCEL:
            metrics.BUDGET_BLOCKS.inc()
        case _:
            pass
