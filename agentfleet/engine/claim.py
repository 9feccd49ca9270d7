"""Claim: turn a message into the right to run a step."""

from collections.abc import Sequence

from agentfleet.domain.model import Claimed
from agentfleet.engine.batcher import Batcher
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics


class Claims:
    """Claims steps for one worker process; concurrent claims share a statement."""

    def __init__(self, db: Database, *, worker: str, lease: float) -> None:
        self._db, self._worker, self._lease = db, worker, lease
        self._batch: Batcher[str, Claimed | None] = Batcher(self._claim, max_flushes=1)  # it never waits for a lock

    async def __call__(self, step_id: str) -> Claimed | None:
        """The claimed step, or ``None`` when the message was stale, duplicated or forged."""
        claimed = await self._batch(step_id)
        if claimed is None:
            metrics.STALE_MESSAGES.inc()
        else:
            metrics.QUEUE_WAIT.labels(claimed.pool).observe(claimed.queue_wait)
        return claimed

    async def _claim(self, step_ids: Sequence[str]) -> Sequence[Claimed | None]:
        found = {c.step_id: c for c in await steps.claim(self._db, step_ids, worker=self._worker, lease=self._lease)}
        return [found.pop(step_id, None) for step_id in step_ids]  # popped: a duplicate in the batch gets nothing
