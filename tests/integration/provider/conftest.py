"""The reasoner in front of the simulator, and in front of a socket that says whatever a test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from agentfleet.provider import quota as quotas
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.limits import Limits
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.simulator.serve import Running, background
from tests.integration.provider.organizations import Fleet

KEY = "sk-ant-test-0123456789abcdef"

Connect = Callable[..., AnthropicReasoner]
Wire = Callable[..., Awaitable[str]]


@pytest.fixture(scope="session")
def _served() -> Iterator[Running]:
    with background() as running:
        yield running


@pytest.fixture
def sim(_served: Running) -> Running:
    _served.simulator.reset()
    return _served


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes a reasoner for a base URL, within these limits; closed after the test."""
    async with AsyncExitStack() as stack:

        def make(base_url: str, **limits: float) -> AnthropicReasoner:
            reasoner = make_reasoner(
                "anthropic", base_url=base_url, api_key=KEY, limits=Limits(**{"connections": 100, **limits})
            )
            assert isinstance(reasoner, AnthropicReasoner)
            stack.push_async_callback(reasoner.close)
            return reasoner

        yield make


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Serves raw bytes as the answer to every request, then closes, resets or stays ``open``; returns the base URL."""
    async with AsyncExitStack() as stack:

        async def serve(answer: bytes, then: str = "close") -> str:
            released = asyncio.Event()

            async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                writer.write(answer)
                await writer.drain()
                if then == "open":
                    await released.wait()
                writer.close()

            server = await asyncio.start_server(speak, "127.0.0.1", 0)
            stack.callback(server.close)
            stack.callback(released.set)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield serve


@pytest.fixture
async def fleet(sim: Running, redis: Redis, monkeypatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(quotas, "LOOK_EVERY", 0.0)  # parked accounts are known at once
    fleet = Fleet(sim, redis)
    yield fleet
    await fleet.reasoner.close()
