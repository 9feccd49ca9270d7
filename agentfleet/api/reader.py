"""Reading runs: all who ask about one tenant's runs at the same moment share a statement."""

from agentfleet.engine.batcher import Batcher
from agentfleet.store import reads
from agentfleet.store.database import Database
from agentfleet.store.reads import Record


class RunReader:
    """Reads runs for one process. Belongs to one event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tenants: dict[str, Batcher[str, Record | None]] = {}

    async def __call__(self, tenant_id: str, run_id: str) -> Record | None:
        """The run as it is now or later, or ``None`` when ``tenant_id`` has none of that id."""
        batch = self._tenants.get(tenant_id)
        if batch is None:
            batch = self._tenants[tenant_id] = Batcher(lambda ids: reads.runs_by_id(self._db, tenant_id, ids))
        return await batch(run_id)
