"""Receive: look after the batches that were sent, and bring home their results.

Whatever dies in here may be done again: results are stored once each, and a batch is closed when all of them are.
"""

from contextlib import aclosing

import structlog

from agentfleet.domain.batch import ABANDONED_AFTER, ItemState, look_again_after
from agentfleet.domain.errors import ProviderUnavailable, StepError
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
        for batch in found:
            if batch.provider_id is not None and batch.wanted == 0 and batch.id not in self._cancelled:
                await self._cancel(batch, batch.provider_id)
        return sum([await self._attend(batch) for batch in found if batch.provider_id is not None])

    async def _cancel(self, batch: OpenBatch, provider_id: str) -> None:
        """Nobody waits for it any more. What has been answered by now is paid for, and comes home like all results."""
        self._cancelled.add(batch.id)
        try:
            await self._service.cancel(batch.account, provider_id)
        except StepError as error:  # it may have ended
            log.warning("batch_not_cancelled", batch=batch.id, provider_id=provider_id, error=str(error)[:500])
        else:
            log.info("batch_cancelled", batch=batch.id, provider_id=provider_id)

    async def _attend(self, batch: OpenBatch) -> int:
        """Look at it, and take its results, if that is due; how many came."""
        provider_id = batch.provider_id or ""
        try:
            if batch.age < self._next_look.get(batch.id, 0.0):
                return 0
            self._next_look[batch.id] = batch.age + look_again_after(batch.age, self._poll)
            if not (await self._service.look(batch.account, provider_id)).ended:
                return 0
            stored = await self._take(batch, provider_id)
        except StepError as error:
            lost = classify(error) is Verdict.PERMANENT or batch.age > ABANDONED_AFTER
            log.warning("batch_not_read", batch=batch.id, provider_id=provider_id, lost=lost, error=str(error)[:500])
            if lost:
                await self._close(batch, lost=True)
            return 0
        await self._close(batch, lost=False)
        return stored

    async def _take(self, batch: OpenBatch, provider_id: str) -> int:
        """Store all results; how many were new. Raises ``ProviderUnavailable`` when some are missing."""
        seen, stored, size, chunk = 0, 0, 0, list[tuple[str, ItemState, str]]()
        async with aclosing(self._service.results(batch.account, provider_id)) as results:
            async for name, state, line in results:
                seen, size = seen + 1, size + len(line)
                chunk.append((name, state, line))
                if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                    stored += await self._store(chunk)
                    size, chunk = 0, []
        stored += await self._store(chunk) if chunk else 0
        if seen < batch.requests:
            raise ProviderUnavailable(f"{seen} results came for {batch.requests} requests")
        return stored

    async def _store(self, chunk: list[tuple[str, ItemState, str]]) -> int:
        became = await batches.store_results(self._db, chunk)
        for state, count in became.items():
            metrics.BATCH_ITEMS.labels(state.value).inc(count)
        return became.total()

    async def _close(self, batch: OpenBatch, *, lost: bool) -> None:
        left = await batches.close(self._db, batch.id, lost=lost)
        metrics.BATCH_ITEMS.labels("spilled").inc(left)
        log.info("batch_closed", batch=batch.id, provider_id=batch.provider_id, lost=lost, without_result=left)
