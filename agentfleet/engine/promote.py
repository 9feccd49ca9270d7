"""Promote: waiting steps that are due become ready."""

from agentfleet.engine.ports import Publisher
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

BATCH = 500


class Promoter:
    """Promotes whatever is due, in every pool."""

    def __init__(self, db: Database, publisher: Publisher) -> None:
        self._db, self._publisher = db, publisher

    async def run_once(self) -> int:
        """Promote up to ``BATCH`` steps and wake their dispatchers; how many."""
        promoted = await steps.promote(self._db, limit=BATCH)
        for pool in promoted:
            await self._publisher.wake(pool)
        metrics.PROMOTED.inc(sum(promoted.values()))
        return sum(promoted.values())
