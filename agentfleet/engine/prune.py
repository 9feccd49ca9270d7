"""Prune: forget dead letters that were dealt with long ago. Open ones wait for a human, however long."""

from agentfleet.store import dead_letters
from agentfleet.store.database import Database

BATCH = 500


class Pruner:
    """Deletes what was resolved more than ``days`` ago, and unreadable messages of that age."""

    def __init__(self, db: Database, *, days: int) -> None:
        self._db, self._days = db, days

    async def run_once(self) -> int:
        """Delete up to ``BATCH`` dead letters; how many."""
        return await dead_letters.prune(self._db, days=self._days, limit=BATCH)
