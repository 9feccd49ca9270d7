"""Republish: ring again for dispatched steps whose message is probably lost. A spare message is a no-op."""

import structlog

from agentfleet.engine.ports import Publisher
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.republish")

BATCH = 1_000


class Republisher:
    """Republishes for one pool."""

    def __init__(self, db: Database, publisher: Publisher, *, pool: str, after: float) -> None:
        self._db, self._publisher, self._pool, self._after = db, publisher, pool, after

    async def run_once(self) -> int:
        """Send up to ``BATCH`` messages again; how many."""
        lost = await steps.republish(self._db, self._pool, after=self._after, limit=BATCH)
        if lost:
            metrics.REPUBLISHED.labels("unclaimed").inc(len(lost))
            log.warning("republished", pool=self._pool, messages=len(lost))
            await self._publisher.publish(lost)
        return len(lost)
