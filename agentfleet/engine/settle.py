"""Settle: the only writer of outcomes.

A settlement is a value that was decided before (``domain.settlement``). Here it is written, many at a time, in one
transaction with its messages, events, usage, dead letter and next steps; after the commit the steps that the same
transaction admitted are published. Zero rows means that the step was not ours any more: dropped and counted.

A commit whose outcome is unknown (the connection was lost in it) is written again, which the fence makes harmless, and
what that finds gone is read by key: the attempts row carries the fence, and only this statement writes it. The messages
of its next steps may not have been sent, and the reconciler sends them.

While nothing can be written, nobody should claim (``writable``). A run whose row somebody holds waits alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from agentfleet.domain.model import Settlement
from agentfleet.domain.settlement import EventType
from agentfleet.domain.states import StepEvent
from agentfleet.domain.verdicts import Verdict
from agentfleet.domain.waste import Cause
from agentfleet.engine.batcher import Batcher
from agentfleet.engine.ports import Publisher
from agentfleet.engine.survey import tell_parked
from agentfleet.store import budgets
from agentfleet.store import settlements as store
from agentfleet.store.database import LOST_CONNECTION, STALLED, UNWRITABLE, Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.settle")

RECONNECT_DELAY = 0.5
"""Seconds between tries while the database is away: the outcome is paid for, so it is kept until the lease decides."""

Pair = tuple[Settlement, str]
Read = Callable[[Database, Sequence[Pair]], Awaitable[set[str]]]


class Settler:
    """Writes settlements; concurrent ones share a transaction. ``release`` is that of the worker that ran the steps."""

    def __init__(self, db: Database, publisher: Publisher, *, window: int, release: str | None = None) -> None:
        self._db, self._publisher, self._window, self._release = db, publisher, window, release
        self._batch: Batcher[Pair, bool | None] = Batcher(self._settle, splits=(*UNWRITABLE, *STALLED))
        self._writable = asyncio.Event()
        self._writable.set()
        self._unsure: set[str] = set()
        """Steps whose settlement may have been written by a try of which nobody knows how it ended."""
        self._stalled: set[str] = set()
        """Runs whose rows somebody may hold: asked before, so that nobody waits for them with others."""

    async def __call__(self, settlement: Settlement, worker: str) -> bool:
        """Write it; ``False`` when the step was not ours any more. Raises one of ``UNWRITABLE`` for such data."""
        try:
            while (ours := await self._batch((settlement, worker))) is None:
                if settlement.expired_only:
                    return False  # a rescue has time: the next round finds it again
                await asyncio.sleep(RECONNECT_DELAY)
        finally:
            self._unsure.discard(settlement.step_id)
        if ours:
            _count(settlement)
            if settlement.verdict == Verdict.PARK:
                await tell_parked(self._db, settlement)
        elif not settlement.expired_only:  # a rescue that comes too late is no zombie
            metrics.FENCE_REJECTIONS.inc()
            _count_waste(Cause.DROPPED, settlement)
            log.warning("result_dropped", step_id=settlement.step_id, run_id=settlement.run_id, fence=settlement.fence)
        return ours

    @property
    def stuck(self) -> bool:
        """Whether outcomes cannot be written at this moment."""
        return not self._writable.is_set()

    async def writable(self) -> None:
        """Wait while outcomes cannot be written: who claims now would spend on what nobody could record."""
        await self._writable.wait()

    async def _settle(self, batch: Sequence[Pair]) -> Sequence[bool | None]:
        """A result for each, ``None`` for what has to come again."""
        free = await self._free(batch) if self._stalled else batch
        try:
            written = await self._write(free) if free else store.Written()
        except STALLED as error:
            log.warning("settle_stalled", error=str(error), settlements=len(free))
            self._stalled |= {settlement.run_id for settlement, _ in free}
            if len(batch) > 1:
                raise  # halves of it come here again, and ask first
            return [None]
        if written.dispatched:
            metrics.DISPATCHED.labels("fast").inc(len(written.dispatched))
            await self._publisher.publish(written.dispatched)
        if written.alarming:
            await self._alarm(written.alarming)
        for pool in written.backlogged:
            await self._publisher.wake(pool)
        tried = {settlement.step_id for settlement, _ in free}
        return [s.step_id in written.settled if s.step_id in tried else None for s, _ in batch]

    async def _alarm(self, budget_ids: list[str]) -> None:
        try:
            told = await budgets.alarm(self._db, budget_ids)
        except LOST_CONNECTION as error:
            log.warning("alarm_failed", error=str(error))  # the next settlement says it again
        else:
            for is_day in told:
                metrics.BUDGET_ALERTS.labels("tenant_day" if is_day else "run").inc()

    async def _write(self, batch: Sequence[Pair]) -> store.Written:
        try:
            written = await self._outlast(batch)
        finally:
            self._writable.set()  # also after an error that is not the connection's: it was an answer
        doubtful = [one for one in batch if one[0].step_id in self._unsure - written.settled]
        if doubtful:
            written.settled |= await self._insist(store.read_settled, doubtful)
        return written

    async def _outlast(self, batch: Sequence[Pair]) -> store.Written:
        while True:
            try:
                return await store.settle(self._db, batch, window=self._window, release=self._release)
            except (*UNWRITABLE, *STALLED):  # they answer, and nothing happened
                raise
            except LOST_CONNECTION as error:
                log.warning("settle_outcome_unknown", error=str(error), settlements=len(batch))
                self._writable.clear()
                self._unsure |= {settlement.step_id for settlement, _ in batch}
                await asyncio.sleep(RECONNECT_DELAY)

    async def _free(self, batch: Sequence[Pair]) -> Sequence[Pair]:
        """What of ``batch`` can be written without waiting for anybody."""
        asked = [one for one in batch if one[0].run_id in self._stalled]
        free = await self._insist(store.read_free, asked) if asked else set[str]()
        held = {settlement.run_id for settlement, _ in asked if settlement.step_id not in free}
        self._stalled -= {settlement.run_id for settlement, _ in asked} - held
        return [one for one in batch if one[0].run_id not in held]

    async def _insist(self, read: Read, batch: Sequence[Pair]) -> set[str]:
        while True:
            try:
                return await read(self._db, batch)
            except LOST_CONNECTION as error:
                log.warning("reread_failed", error=str(error))
                await asyncio.sleep(RECONNECT_DELAY)


def _count(settlement: Settlement) -> None:
    match settlement.event:
        case StepEvent.RETRY | StepEvent.SNOOZE | StepEvent.HAND_BACK:
            metrics.STEP_RETRIES.labels(settlement.verdict or settlement.blocked_on or "").inc()
        case StepEvent.BURY:
            metrics.DEAD_LETTERS.labels(settlement.verdict or "").inc()
        case _:
            pass
    if settlement.event is not StepEvent.SUCCEED:
        _count_waste(Cause.HALF_STREAM, settlement)
    if settlement.blocked_on == "budget":
        metrics.BUDGET_BLOCKS.inc()
    for event in settlement.events:
        if event.type == EventType.RUN_BUDGET_ALERT:
            metrics.BUDGET_ALERTS.labels("run").inc()


def _count_waste(cause: Cause, settlement: Settlement) -> None:
    if settlement.usage.context_tokens:
        metrics.WASTED_TOKENS.labels(cause.value).inc(settlement.usage.context_tokens)
        metrics.WASTED_COST.labels(cause.value).inc(float(settlement.usage.cost_usd))
