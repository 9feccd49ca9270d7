"""Dispatch: admit the backlog of a pool as far as its window has room, and ring for it.

Woken through the broker when somebody had to leave a step in the backlog or made room; the poll is the backstop.
"""

from agentfleet.engine.ports import Publisher
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics


class Dispatcher:
    """Dispatches one pool. Several at once do no harm: each step is moved by one of them."""

    def __init__(self, db: Database, publisher: Publisher, *, pool: str, window: int) -> None:
        self._db, self._publisher, self._pool, self._window = db, publisher, pool, window

    async def run_once(self) -> int:
        """Dispatch what fits; how many steps."""
        doorbells = await steps.dispatch(self._db, self._pool, window=self._window)
        if doorbells:
            metrics.DISPATCHED.labels("dispatcher").inc(len(doorbells))
            await self._publisher.publish(doorbells)
        return len(doorbells)
