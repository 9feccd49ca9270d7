"""Republish: ring again for dispatched steps whose message is probably lost. A spare message is a no-op."""

from collections.abc import Awaitable, Callable

import structlog

from agentfleet.engine.ports import Publisher
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.republish")

BATCH = 1_000
SLACK = 3
"""While messages are slow, one is late after so many times their recent p99."""


async def _unknown() -> bool:
    return False


class Republisher:
    """Republishes for one pool. ``empty`` says whether its queue certainly holds no message: then all were lost."""

    def __init__(
        self,
        db: Database,
        publisher: Publisher,
        *,
        pool: str,
        after: float,
        empty: Callable[[], Awaitable[bool]] = _unknown,
    ) -> None:
        self._db, self._publisher, self._pool, self._after, self._empty = db, publisher, pool, after, empty

    async def run_once(self) -> int:
        """Send up to ``BATCH`` messages again; how many."""
        slack = 0 if await self._empty() else SLACK  # a busy pool that lost its whole queue must not wait a minute
        lost = await steps.republish(self._db, self._pool, after=self._after, slack=slack, limit=BATCH)
        if lost:
            metrics.REPUBLISHED.labels("unclaimed").inc(len(lost))
            log.warning("republished", pool=self._pool, messages=len(lost))
            await self._publisher.publish(lost)
        return len(lost)
