"""What runs are pinned to: written once, kept for ever, remembered by every process."""

import orjson

from agentfleet.domain.errors import Unserviceable
from agentfleet.domain.model import Bundle
from agentfleet.store import statements
from agentfleet.store.database import Database


class Bundles:
    """Reads and writes bundles through a process-wide memory; they never change."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, Bundle] = {}

    async def save(self, bundle: Bundle) -> None:
        """Make sure that ``bundle`` is stored before a run points at it."""
        if bundle.id in self._known:
            return
        spec = orjson.dumps(bundle.spec).decode()
        await self._db.fetch(statements.SAVE_BUNDLE, {"id": bundle.id, "agent": bundle.agent, "spec": spec})
        self._known[bundle.id] = bundle

    async def load(self, bundle_id: str) -> Bundle:
        """The bundle; raises ``Unserviceable`` when there is none."""
        if bundle_id not in self._known:
            rows = await self._db.fetch(statements.FIND_BUNDLES, {"id": [bundle_id]})
            if not rows:
                raise Unserviceable(f"bundle {bundle_id} is not stored")
            self._known[bundle_id] = Bundle(rows[0][0], rows[0][1], orjson.loads(rows[0][2]))
        return self._known[bundle_id]
