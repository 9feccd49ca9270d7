"""A second database handle, a broker that keeps its messages, and the invariants after every test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from redis.asyncio import Redis

from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.promote import Promoter
from agentfleet.provider.admission import Admission
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from tests import factories, invariants
from tests.integration.engine.queues import PACE
from tests.scripted import Bells


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """The database as workers, dispatcher and reconciler see it. Two connections: as many as one batcher's flushes."""
    database = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-fleet", pool_size=2))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def other_db(database_url: str) -> AsyncIterator[Database]:
    """The same database as another process sees it."""
    database = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-other", pool_size=2))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def go_on(db: Database, bells: Bells) -> Callable[[], Awaitable[None]]:
    """Promote and dispatch what is due."""

    async def tick() -> None:
        await Promoter(db, bells).run_once()
        await Dispatcher(db, bells, pool=factories.POOL, window=1000).run_once()

    return tick


@pytest.fixture
def admission(redis: Redis) -> Admission:
    """The provider's buckets as one process sees them: each holds a minute."""
    return Admission(redis, prefix="test", pace=PACE, caps={})


@pytest.fixture
def invariants_hold(database_url: str) -> Iterator[None]:
    """For tests whose every row the engine wrote: checks all invariants at their end."""
    yield
    invariants.check(database_url)


@pytest.fixture
async def bundle(db: Database):
    """The bundle that made runs are pinned to, stored."""
    return await factories.save_bundle(db)
