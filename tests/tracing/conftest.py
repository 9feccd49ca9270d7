"""A collector, tracing that sends there, and a step worker in this process: real SDK, real simulator, real tools."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from opentelemetry import trace
from opentelemetry.util._once import Once
from redis.asyncio import Redis

from agentfleet.agents.agent import Agent
from agentfleet.agents.bundle import bundle_of
from agentfleet.agents.cached import CachedToolbox
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.caching.shelf import Shelf
from agentfleet.domain.plan import first_step
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.promote import Promoter
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.limits import Limits
from agentfleet.simulator.serve import Running, background
from agentfleet.store.database import Database
from agentfleet.telemetry import tracing
from tests.conftest import Clock
from tests.factories import POOL, Tally, save_bundle, submit, tally
from tests.scripted import Bells, Worker
from tests.tracing import agents
from tests.tracing.sink import Sink, collecting

KEY = "sk-ant-canary-0123456789abcdef"
PRODUCER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""The trace in which runs were accepted."""


@pytest.fixture(scope="session")
def _collecting() -> Iterator[Sink]:
    with collecting() as sink:
        yield sink


@pytest.fixture
def sink(_collecting: Sink, monkeypatch: pytest.MonkeyPatch) -> Sink:
    """An empty collector, where tracing sends to."""
    _collecting.clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", _collecting.url)
    return _collecting


@dataclass
class Tracing:
    """Tracing of this process; ``start`` it, and ``stop`` it to see what it sent."""

    sink: Sink

    def start(self, *, content: bool = False, process: str = "steps") -> None:
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()  # each test is a process of its own
        assert tracing.start(process, release="1.2.3", instance="here:1", content=content)

    def stop(self) -> Sink:
        tracing.stop(20)
        return self.sink


@pytest.fixture
def traced(sink: Sink) -> Iterator[Tracing]:
    """On, without content."""
    made = Tracing(sink)
    made.start()
    yield made
    tracing.stop(0.1)


@pytest.fixture(scope="session")
def _simulating() -> Iterator[Running]:
    with background() as running:
        yield running


@pytest.fixture
def sim(_simulating: Running) -> Running:
    _simulating.simulator.reset()
    return _simulating


@dataclass
class Ran:
    """A worker and what it ran."""

    db: Database
    worker: Worker
    bells: Bells
    go_on: Callable[[], Awaitable[None]]
    runs: list[str] = field(default_factory=list)

    async def run(self, agent: Agent, state: str = "succeeded", **changes: object) -> Tally:
        """Submit a run of ``agent`` and work until it has ended."""
        bundle = await save_bundle(self.db, bundle_of(agent))
        given = {
            "agent": agent.name,
            "bundle_id": bundle.id,
            "traceparent": PRODUCER,
            "first": first_step(agent.model),
            **changes,
        }
        accepted = await submit(self.db, **given)
        await self.worker.execute(accepted.step_id)
        for _ in range(5):
            await self.worker.work()
            if (done := await tally(self.db, accepted.run_id)).run.state not in {"queued", "running", "waiting"}:
                break
            await self.go_on()
        assert done.run.state == state, done.run.error
        return done


@pytest.fixture
async def fleet(db: Database, redis: Redis, sim: Running, clock: Clock) -> AsyncIterator[Ran]:
    """One worker. Time passes when it has nothing to do."""
    agents.seen.clear()
    agents.here.clear()
    bells = Bells()
    model = make_reasoner("anthropic", base_url=sim.url, api_key=KEY, limits=Limits(connections=10))

    async def go_on() -> None:
        clock.advance(700)
        await Promoter(db, bells).run_once()
        await Dispatcher(db, bells, pool=POOL, window=1000).run_once()

    with ThreadPoolExecutor(2) as threads:
        registry = Registry([agents.helper, agents.clumsy, agents.patient, agents.knower, agents.loser])
        shelf = Shelf(redis, prefix="test", patience=20, cap=1_000_000)
        tools = CachedToolbox(AgentToolbox(registry, threads), registry, shelf, release="1")
        yield Ran(db, Worker(db, bells, model, tools), bells, go_on)  # pyright: ignore[reportArgumentType]
    await model.close()
