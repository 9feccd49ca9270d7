"""A stage per test, on a simulator that stands still unless time is made to pass."""

from collections.abc import AsyncIterator, Iterator

import pytest

from agentfleet.provider.batches import make_batches
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.limits import Limits
from agentfleet.simulator.serve import Running, background
from agentfleet.store.database import Database
from tests import invariants
from tests.conftest import Clock
from tests.integration.batches.stage import Stage

KEY = "sk-ant-test-0123456789abcdef"


@pytest.fixture(scope="session")
def _served() -> Iterator[Running]:
    with background() as running:
        yield running


@pytest.fixture
def sim(_served: Running) -> Iterator[Running]:
    _served.simulator.reset()
    _served.simulator.clock.run(0)
    yield _served
    _served.simulator.reset()


@pytest.fixture
async def stage(db: Database, database_url: str, sim: Running, clock: Clock) -> AsyncIterator[Stage]:
    limits = Limits(connections=50)
    service = make_batches("anthropic", base_url=sim.url, api_key=KEY, limits=limits)
    reasoner = make_reasoner("anthropic", base_url=sim.url, api_key=KEY, limits=limits)
    yield Stage(db, database_url, sim, service, reasoner, clock)
    await service.close()
    await reasoner.close()
    invariants.check(database_url)
