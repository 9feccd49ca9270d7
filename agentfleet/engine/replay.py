"""Replay and discard: what a human may do about a dead letter."""

from agentfleet.domain.states import RunState
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.ports import Publisher
from agentfleet.store import dead_letters, runs
from agentfleet.store.database import Database


class Undertaker:
    """Replays dead letters (the run goes on at the step that died) or discards them (the run fails)."""

    def __init__(self, db: Database, publisher: Publisher, canceller: Canceller) -> None:
        self._db, self._publisher, self._canceller = db, publisher, canceller

    async def replay(self, tenant_id: str, dead_letter_ids: list[str]) -> list[str]:
        """Put their steps back with fresh attempts; the ids that were open. Repeating it is harmless."""
        replayed = await runs.replay(self._db, tenant_id, dead_letter_ids)
        for pool in {pool for _, _, _, pool in replayed}:
            await self._publisher.wake(pool)
        return [dead_letter_id for dead_letter_id, _, _, _ in replayed]

    async def discard(self, tenant_id: str, dead_letter_id: str) -> bool:
        """Give up for good: the run ends as failed. ``False`` when the dead letter was not open."""
        run_id = await dead_letters.open_run(self._db, tenant_id, dead_letter_id)
        if run_id is None:
            return False
        ended = await self._canceller.end(
            [run_id], RunState.FAILED, "discarded", "its dead letter was discarded", tenant_id=tenant_id
        )
        return bool(ended)
