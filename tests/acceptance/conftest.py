"""The ground that all acceptance tests of one process stand on, and each test's fleet."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from agentfleet import bootstrap
from agentfleet.dev.embedded import servers
from agentfleet.settings import Settings
from agentfleet.simulator.serve import background
from agentfleet.store import migrate
from tests.acceptance.fleet import Fleet, Ground


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A Postgres and a Redis that may be killed, a simulator, a dispatcher and a reconciler."""
    with servers(Path(), ephemeral=True) as urls, background() as simulator:
        migrate.upgrade(urls.database_url)
        made = Ground(urls, simulator, tmp_path_factory.mktemp("ground"))
        made.start_duties()
        yield made
        made.stop()


@pytest.fixture
async def fleet(ground: Ground, tmp_path: Path) -> AsyncIterator[Fleet]:
    """No worker yet, no runs, an empty Redis."""
    ground.simulator.simulator.reset()
    async with Redis.from_url(ground.redis_url) as client:
        await client.flushall()
    settings = Settings(database_url=ground.database_url, redis_url=ground.redis_url)
    async with bootstrap.ingress(settings) as ingress:
        made = Fleet(ground, ingress, tmp_path)
        try:
            yield made
        finally:
            made.close()
