"""Cancel and expire: end runs from outside, at once, whatever they are doing.

The transaction takes the lease from running steps, so their results can no longer be written; telling their workers is
only a courtesy that saves tokens.
"""

import orjson

from agentfleet.domain.states import RunState
from agentfleet.engine import tally
from agentfleet.engine.ports import Publisher
from agentfleet.store import runs
from agentfleet.store.database import Database

BATCH = 200


class Canceller:
    """Ends runs and their children, and tells the workers that were busy with them."""

    def __init__(self, db: Database, publisher: Publisher) -> None:
        self._db, self._publisher = db, publisher

    async def cancel(
        self, run_id: str, *, tenant_id: str | None = None, reason: str = "cancelled by the client"
    ) -> bool:
        """Cancel one run; ``False`` when it had already ended (or is not this tenant's)."""
        return bool(await self.end([run_id], RunState.CANCELLED, "cancelled", reason, tenant_id=tenant_id))

    async def end(
        self, run_ids: list[str], state: RunState, kind: str, reason: str, *, tenant_id: str | None = None
    ) -> int:
        """End runs as ``cancelled``, ``expired`` or ``failed``; how many had not ended yet."""
        error = orjson.dumps({"class": kind, "message": reason}).decode()
        ended = await runs.end(self._db, run_ids, state, data=error, error=error, tenant_id=tenant_id)
        for run in ended:
            tally.run_was_ended(run.agent, run.state)
        running = [step_id for run in ended for step_id in run.running_steps]
        if running:
            await self._publisher.revoke(running)
        return sum(run.run_id in run_ids for run in ended)


class Expirer:
    """Ends runs whose deadline has passed."""

    def __init__(self, db: Database, canceller: Canceller) -> None:
        self._db, self._canceller = db, canceller

    async def run_once(self) -> int:
        """Expire up to ``BATCH`` runs; how many."""
        overdue = await runs.overdue(self._db, limit=BATCH)
        if not overdue:
            return 0
        return await self._canceller.end(overdue, RunState.EXPIRED, "deadline", "the run's deadline has passed")
