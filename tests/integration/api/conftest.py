"""The API over real servers: in process for most tests, over HTTP where sockets matter."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

from agentfleet.agents import Agent, tool
from agentfleet.agents.registry import Registry
from agentfleet.api.app import create_app
from agentfleet.bootstrap import Ingress
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.domain.budget import Budget
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.replay import Undertaker
from agentfleet.engine.submit import Submitter
from agentfleet.settings import Settings
from agentfleet.store import api_keys
from agentfleet.store.bundles import Bundles
from agentfleet.store.database import Database
from tests import invariants
from tests.integration.api.hands import Hands
from tests.integration.api.letters import dead_call, dead_reason, worker

__all__ = ["dead_call", "dead_reason", "worker"]
"""Fixtures that stand with what they are made of."""

Connect = Callable[[str | None], httpx2.AsyncClient]


class Order(BaseModel):
    number: int
    reason: str = "none"


class Answer(BaseModel):
    text: str


@tool(effect="read")
async def look(place: str) -> str:
    """Look at one place."""
    return place


AGENTS = (
    Agent(name="support", model="claude-sonnet-5-5", instructions="Help.", tools=[look]),
    Agent(
        name="orders",
        model="claude-haiku-4-5",
        input_type=Order,
        output_type=Answer,
        budget=Budget(deadline=timedelta(minutes=1)),
    ),
)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, max_wait=600.0)


def assemble(db: Database, redis: Redis, settings: Settings) -> Ingress:
    """What ``bootstrap.ingress`` makes, on the test's own servers and agents."""
    publisher = RedisPublisher(redis, prefix=settings.redis_prefix)
    canceller = Canceller(db, publisher)
    return Ingress(
        settings,
        db,
        redis,
        Registry(AGENTS),
        Bundles(db),
        publisher,
        Submitter(db, publisher, window=settings.dispatch_window),
        canceller,
        Undertaker(db, publisher, canceller),
    )


@pytest.fixture
async def ingress(app_db: Database, redis: Redis, settings: Settings) -> AsyncIterator[Ingress]:
    """The parts of one process."""
    parts = assemble(app_db, redis, settings)
    yield parts
    await parts.publisher.flush()


@pytest.fixture
async def app(ingress: Ingress, settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started."""
    app = create_app(settings, ingress)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def key(app_db: Database) -> str:
    """The first tenant's key."""
    return await api_keys.create(app_db, "acme", "test")


@pytest.fixture
async def other_key(app_db: Database) -> str:
    """The second tenant's key."""
    return await api_keys.create(app_db, "rival", "test")


@pytest.fixture
async def connect(app: FastAPI) -> AsyncIterator[Connect]:
    """Make a client for a key; errors of the application are answers, never exceptions of the client."""
    async with AsyncExitStack() as stack:

        def make(key: str | None) -> httpx2.AsyncClient:
            client = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
                base_url="http://api",
                headers={} if key is None else {"Authorization": f"Bearer {key}"},
            )
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application on a socket, where streams flow and clients hang up; its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, timeout_graceful_shutdown=5)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[sock])
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        app.state.services.watch.stop()
        await server.shutdown()


@pytest.fixture
async def http(served: str, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The first tenant's client over a socket."""
    async with httpx2.AsyncClient(base_url=served, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


@pytest.fixture
def client(connect: Connect, key: str) -> httpx2.AsyncClient:
    """The first tenant's client."""
    return connect(key)


@pytest.fixture
def hands(db: Database, settings: Settings) -> Hands:
    """Does by hand what workers do."""
    return Hands(db)


@pytest.fixture
def submit(client: httpx2.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Submit a run and return its document."""

    async def post(**more: Any) -> dict[str, Any]:
        response = await client.post("/v1/runs", json={"agent": "support", "input": "Hello?", **more})
        assert response.status_code == 202, response.text
        return response.json()

    return post


@pytest.fixture
def invariants_hold(database_url: str) -> Iterator[None]:
    """For tests whose every row the engine wrote: checks all invariants at their end."""
    yield
    invariants.check(database_url)
