"""Measure: how many steps are where, and how full Postgres is, as gauges."""

from agentfleet.store import health, steps
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics


class Meter:
    """Sets the gauges of open steps and of connections."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: set[tuple[str, str]] = set()

    async def run_once(self) -> int:
        """Set the gauges; how many steps are open."""
        used, limit = await health.connections(self._db)
        metrics.POSTGRES_CONNECTIONS.labels("used").set(used)
        metrics.POSTGRES_CONNECTIONS.labels("limit").set(limit)
        counts = await steps.count(self._db)
        for pool, state in self._seen - {(c.pool, c.state) for c in counts}:
            metrics.STEPS_OPEN.labels(pool, state).set(0)
        by_state = {(c.pool, c.state): c for c in counts}
        for pool in {c.pool for c in counts} | {pool for pool, _ in self._seen}:
            ready, sent = by_state.get((pool, "ready")), by_state.get((pool, "dispatched"))
            metrics.OLDEST_READY.labels(pool).set(ready.oldest if ready else 0)
            metrics.OUTBOX_LAG.labels(pool).set(sent.oldest if sent else 0)
        for c in counts:
            metrics.STEPS_OPEN.labels(c.pool, c.state).set(c.steps)
        self._seen |= set(by_state)
        return sum(c.steps for c in counts)
