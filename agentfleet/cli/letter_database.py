"""What only the database tells about dead letters: of every tenant, and of none. For those who run the fleet."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from agentfleet.bootstrap import database
from agentfleet.cli.database import database_url
from agentfleet.settings import Settings
from agentfleet.store import clusters, dead_letters
from agentfleet.store.clusters import Cluster
from agentfleet.store.database import FLEET_ROLE, Database
from agentfleet.store.dead_letters import Filter
from agentfleet.store.reads import Record

Found = TypeVar("Found")
MOST = 200


def every_cluster(terms: Mapping[str, Any]) -> list[Cluster]:
    """The largest kinds, over all tenants."""
    moments = {name: value.astimezone() for name, value in terms.items() if name.startswith("created_")}
    which = Filter(state="open", **{**terms, **moments})
    return _asked(lambda db: clusters.clusters(db, None, which, limit=MOST))


def every_unreadable(limit: int) -> list[Record]:
    """The newest messages that were no steps."""

    async def ask(db: Database) -> list[Record]:
        return [*await dead_letters.unreadable(db, limit=limit)]

    return _asked(ask)


def _asked(ask: Callable[[Database], Awaitable[Found]]) -> Found:
    async def once() -> Found:
        settings = Settings()
        settings = settings.model_copy(update={"database_url": database_url(settings), "pool_size": 1})
        db = database(settings, FLEET_ROLE, "cli")
        try:
            await db.open()
            return await ask(db)
        finally:
            await db.close()

    return asyncio.run(once())
