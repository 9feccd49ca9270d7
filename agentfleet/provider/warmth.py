"""Warmth: siblings with a shared prefix wait for the first byte of the first, so that one writes it and all read it.

What the provider caches can be read only once the answer that wrote it has begun: twenty runs of one bundle that start
together would write the same prefix twenty times, at 1.25 times the price
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching).
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from agentfleet.caching.flights import Flight, Flights
from agentfleet.caching.lenient import Lenient
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.body import cache_ttl, shared_prefix

WORTH_WAITING = 1_024
"""Tokens of the shortest prefix that a current model caches."""
BYTES_PER_TOKEN = 4
TELL_AGAIN = 0.25
"""Share of the lifetime after which a process tells the others again that it uses a prefix."""
MOST_KNOWN = 10_000
WARM = b"0:warm"


class Turn:
    """One call's turn. ``warm``: the provider holds the shared prefix already, so that it is read and not written."""

    def __init__(self, *, warm: bool, spoken: Callable[[], asyncio.Task[None] | None]) -> None:
        self.warm = warm
        self._spoken = spoken
        self._telling: asyncio.Task[None] | None = None
        self._has_spoken = False

    def first_byte(self) -> None:
        """The answer's content has begun: who waits may go. To be called as often as one likes."""
        if not self._has_spoken:
            self._has_spoken = True
            self._telling = self._spoken()

    async def told(self) -> None:
        """Wait until the others know."""
        if self._telling is not None:
            await self._telling


@dataclass(slots=True)
class _Known:
    """A prefix that this process has used, on the loop's clock."""

    until: float = float("-inf")
    tell_at: float = float("-inf")


class Warmth:
    """Who goes first, per account, model and prefix, in all processes together. Belongs to one event loop.

    ``patience``: the most seconds that a call waits for another one's first byte; 0 lets nobody wait. While Redis is
    away nobody waits either.
    """

    def __init__(self, redis: Redis, *, prefix: str, patience: float) -> None:
        self._redis, self._prefix, self._patience = redis, prefix, patience
        self._flights = Flights(redis, cuts=f"{prefix}:warm")
        self._lenient = Lenient()
        self._known: dict[str, _Known] = {}
        self._digests: dict[tuple[str, str], str | None] = {}

    @asynccontextmanager
    async def turn(self, request: ReasonRequest, account: str | None) -> AsyncGenerator[Turn]:
        """The call happens inside, and says ``first_byte()``. ``account``: the organisation that is asked."""
        ttl, digest = cache_ttl(request), self._digest(request)
        if not self._patience or ttl is None or digest is None:
            yield Turn(warm=False, spoken=lambda: None)
            return
        key = f"{self._prefix}:warm:{account or ''}:{digest}"
        async with AsyncExitStack() as stack:
            flight = Flight(WARM)
            if self._known.get(key, _Known()).until < _now():
                flight = await stack.enter_async_context(self._flights.join(key, patience=self._patience))
            turn = Turn(warm=flight.value is not None, spoken=partial(self._spoken, key, flight, _now(), ttl))
            stack.push_async_callback(turn.told)
            yield turn

    def _spoken(self, key: str, flight: Flight, started: float, ttl: int) -> asyncio.Task[None] | None:
        """The provider holds the prefix for ``ttl`` seconds from the start of the call that used it last."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        known = self._known.setdefault(key, _Known())
        known.until = max(known.until, started + ttl)
        if not flight.leads and _now() < known.tell_at:
            return None
        known.tell_at = _now() + TELL_AGAIN * ttl
        return asyncio.create_task(self._tell(key, flight, known.until - _now()))

    async def _tell(self, key: str, flight: Flight, seconds: float) -> None:
        milliseconds = max(1, round(1000 * seconds))
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(key, WARM, px=milliseconds, nx=True)
        pipe.pexpire(key, milliseconds, gt=True)  # never shorter than what another run has paid for
        await self._lenient(pipe.execute)
        if flight.leads:
            await self._flights.release(flight)

    def _digest(self, request: ReasonRequest) -> str | None:
        """Names the prefix; ``None`` when it is too short to be cached."""
        known = request.bundle.id, request.model
        if known not in self._digests:
            if len(self._digests) > MOST_KNOWN:
                self._digests.clear()
            text = shared_prefix(request).encode()
            short = len(text) < WORTH_WAITING * BYTES_PER_TOKEN
            self._digests[known] = None if short else hashlib.sha256(text).hexdigest()[:32]
        return self._digests[known]


def _now() -> float:
    return asyncio.get_running_loop().time()
