"""The fleet of the acceptance tests, whose processes are given other ways to the servers than the servers' own URLs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from agentfleet import bootstrap
from agentfleet.dev.embedded import Urls
from agentfleet.settings import Settings
from agentfleet.simulator.serve import background
from agentfleet.store import migrate
from tests.acceptance.fleet import Fleet, Ground


class Elsewhere(Ground):
    """``ways`` are settings of all its processes."""

    ways: dict[str, object]

    def environment(self, **settings: object) -> dict[str, str]:
        return super().environment(**{**self.ways, **settings})


@asynccontextmanager
async def fleet_by(urls: Urls, directory: Path, **ways: object) -> AsyncGenerator[Fleet]:
    """A dispatcher, a reconciler and one step worker on a migrated database; what the test submits goes these ways too."""
    migrate.upgrade(urls.database_url)
    with background() as simulator:
        ground = Elsewhere(urls, simulator, directory)
        ground.ways = ways
        ground.start_duties()
        settings = Settings(**{"database_url": urls.database_url, "redis_url": urls.redis_url, **ways})  # pyright: ignore[reportArgumentType]
        try:
            async with bootstrap.ingress(settings) as ingress:
                fleet = Fleet(ground, ingress, directory)
                await fleet.worker()
                yield fleet
                fleet.close()
        finally:
            ground.stop()
