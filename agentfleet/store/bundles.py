"""What runs are pinned to: written once, kept for ever, remembered by every process."""

from collections.abc import Sequence

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
            await self.warm([bundle_id])
        if bundle_id not in self._known:
            raise Unserviceable(f"bundle {bundle_id} is not stored")
        return self._known[bundle_id]

    async def warm(self, bundle_ids: Sequence[str]) -> None:
        """Remember those of these that are stored."""
        for found, agent, spec in await self._db.fetch(statements.FIND_BUNDLES, {"id": list(bundle_ids)}):
            self._known[found] = Bundle(found, agent, orjson.loads(spec))
