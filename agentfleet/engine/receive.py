"""Receive: look after the batches that were sent, and bring home their results.

Whatever dies in here may be done again: results are stored once each, and a batch is closed when all of them are.
"""

import structlog

from agentfleet.domain.batch import ABANDONED_AFTER, ItemState, look_again_after
from agentfleet.domain.errors import StepError
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.engine.ports import BatchService
from agentfleet.store import batches
from agentfleet.store.batches import OpenBatch
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.batch")

CHUNK = 200
"""Results that are stored together."""
CHUNK_BYTES = 4 * 1024 * 1024


class Receiver:
    """Looks at each batch when it is due: at first every ``poll`` seconds, later less often."""

    def __init__(self, db: Database, service: BatchService, *, poll: float) -> None:
        self._db, self._service, self._poll = db, service, poll
        self._next_look: dict[str, float] = {}
        """By our id: the age at which to look again."""
        self._cancelled: set[str] = set()

    async def run_once(self) -> int:
        """Look at the batches that are due; how many results came."""
        found = await batches.open_batches(self._db)
        metrics.BATCHES_OPEN.set(len(found))
        metrics.BATCH_AGE.set(max((batch.age for batch in found), default=0.0))
        ids = {batch.id for batch in found}
        self._next_look = {id_: age for id_, age in self._next_look.items() if id_ in ids}
        self._cancelled &= ids
        return sum([await self._attend(batch) for batch in found if batch.provider_id is not None])

    async def _attend(self, batch: OpenBatch) -> int:
        """Cancel it, look at it or take its results, as is due; how many results came."""
        provider_id = batch.provider_id or ""
        try:
            if batch.wanted == 0 and batch.id not in self._cancelled:
                self._cancelled.add(batch.id)
                await self._service.cancel(batch.account, provider_id)
                log.info("batch_cancelled", batch=batch.id, provider_id=provider_id, reason="nobody waits for it")
            if batch.age < self._next_look.get(batch.id, 0.0):
                return 0
            self._next_look[batch.id] = batch.age + look_again_after(batch.age, self._poll)
            if not (await self._service.look(batch.account, provider_id)).ended:
                return 0
            stored = await self._take(batch.account, provider_id)
        except StepError as error:
            lost = classify(error) is Verdict.PERMANENT or batch.age > ABANDONED_AFTER
            log.warning("batch_not_read", batch=batch.id, provider_id=provider_id, lost=lost, error=str(error)[:500])
            if lost:
                await self._close(batch, lost=True)
            return 0
        await self._close(batch, lost=False)
        return stored

    async def _take(self, account: str, provider_id: str) -> int:
        """Store all results; how many were new."""
        stored, chunk, size = 0, list[tuple[str, ItemState, str]](), 0
        async for name, state, line in self._service.results(account, provider_id):
            chunk.append((name, state, line))
            size += len(line)
            if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                stored += await self._store(chunk)
                chunk, size = [], 0
        return stored + (await self._store(chunk) if chunk else 0)

    async def _store(self, chunk: list[tuple[str, ItemState, str]]) -> int:
        became = await batches.store_results(self._db, chunk)
        for state, count in became.items():
            metrics.BATCH_ITEMS.labels(state.value).inc(count)
        return became.total()

    async def _close(self, batch: OpenBatch, *, lost: bool) -> None:
        left = await batches.close(self._db, batch.id, lost=lost)
        metrics.BATCH_ITEMS.labels("spilled").inc(left)
        log.info("batch_closed", batch=batch.id, provider_id=batch.provider_id, lost=lost, without_result=left)
