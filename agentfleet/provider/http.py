"""The HTTP client under the SDK, which cuts off whatever is slower than its limits. Imports the SDK.

The SDK's own timeouts are those of single reads of a socket, the same before the answer and inside it, and say neither
which one was meant nor where it is set.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from anthropic import AsyncStream, DefaultAioHttpClient
from httpx2 import AsyncByteStream, ConnectTimeout, Request, Response, Timeout
from httpx2 import Limits as TransportLimits

from agentfleet.provider.connections import Connections, Seat
from agentfleet.provider.limits import TooSlow

T = TypeVar("T")

WRITE_TIMEOUT = 60.0


class RawStream(AsyncStream[object]):
    """An answer as it comes: whoever reads ``response`` knows the framing, so the SDK's own reader is not made."""

    def __init__(self, *, response: Response, **_: Any) -> None:
        self.response = response


class LimitedClient(DefaultAioHttpClient):
    """Calls within ``connections`` and their limits. Raises ``TooSlow`` and ``NoneFree``, which the SDK wraps.

    On the aiohttp transport: the default one searches all open requests whenever one starts or ends.
    """

    def __init__(self, connections: Connections, *, trust_env: bool) -> None:
        limits = connections.limits
        self._connections = connections
        super().__init__(
            # To aiohttp `pool` is the whole way to a connection, name resolution included: seats are taken before.
            timeout=Timeout(connect=limits.connect, read=None, write=WRITE_TIMEOUT, pool=limits.connect),
            limits=TransportLimits(
                max_connections=limits.connections,
                max_keepalive_connections=None,
                keepalive_expiry=limits.keep_alive,
            ),
            trust_env=trust_env,
        )

    async def send(self, request: Request, *, stream: bool = False, **options: Any) -> Response:
        """The answer, as far as its headers or, without ``stream``, to its end."""
        limits = self._connections.limits
        seat = await self._connections.take(request.url.host)
        try:
            sending = super().send(request, stream=True, **options)
            response = await _within(limits.first_byte, sending, "no answer within", "FIRST_BYTE")
        except ConnectTimeout:
            seat.leave()
            raise TooSlow(_says("no connection within", limits.connect, "CONNECT")) from None
        except BaseException:
            seat.leave()
            raise
        response.stream = _Watched(response.stream, limits.idle, seat)
        if not stream:
            await response.aread()
        return response


class _Watched(AsyncByteStream):
    """A body whose bytes must keep coming; its end frees the seat."""

    def __init__(self, stream: Any, idle: float, seat: Seat) -> None:
        self._stream, self._idle, self._seat = stream, idle, seat

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        while (chunk := await _within(self._idle, anext(chunks, None), "no byte for", "IDLE")) is not None:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._seat.leave()


async def _within(seconds: float, doing: Awaitable[T], what: str, setting: str) -> T:
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            return await doing
    except TimeoutError:
        if clock.expired():
            raise TooSlow(_says(what, seconds, setting)) from None
        raise


def _says(what: str, seconds: float, setting: str) -> str:
    return f"{what} {seconds:g} s (AGENTFLEET_PROVIDER_{setting}_TIMEOUT)"
