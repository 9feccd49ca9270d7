"""A simulator served over HTTP, and the real SDK in front of it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import anthropic
import pytest

from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.serve import Running, background

Connect = Callable[..., anthropic.AsyncAnthropic]
Serve = Callable[[SimulatorConfig], Running]


@pytest.fixture(scope="session")
def _shared() -> Iterator[Running]:
    with background() as running:
        yield running


@pytest.fixture
def sim(_shared: Running) -> Running:
    """The shared simulator with its default configuration, as new."""
    _shared.simulator.reset()
    return _shared


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a simulator of the test's own configuration."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(background(config))


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make a strict SDK client for a base URL; closed after the test."""
    async with AsyncExitStack() as stack:

        def make(url: str, **options: Any) -> anthropic.AsyncAnthropic:
            defaults: dict[str, Any] = {
                "api_key": "sim",
                "max_retries": 0,
                "http_client": anthropic.DefaultAioHttpClient(),
                "_strict_response_validation": True,
            }
            client = anthropic.AsyncAnthropic(base_url=url, **{**defaults, **options})
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def client(sim: Running, connect: Connect) -> anthropic.AsyncAnthropic:
    """A strict SDK client of the shared simulator."""
    return connect(sim.url)
