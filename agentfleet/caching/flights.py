"""Single flight: of all who want the same thing at once, in any process, one fetches it and the others wait for it.

The lead is a Redis key with a lease of seconds, renewed while its holder lives. Who fails gives it up, who dies loses
it, and then the next one leads. Nobody waits longer than ``patience``, and nobody waits when Redis is away: the worst
that can happen is that a thing is fetched twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4
from weakref import WeakValueDictionary

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from agentfleet.caching.lenient import Lenient
from agentfleet.cancellation import cancelled

LEASE = 3.0
"""Seconds after which a leader that is not heard of has died."""
RENEW = 1.0
FIRST_LOOK, LAST_LOOK = 0.02, 0.25
"""Seconds between two looks whether it has landed: more and more. One waiter per process looks."""


@dataclass(slots=True)
class Flight:
    """What came of waiting: a ``value``, or the lead, or neither, when patience ended or Redis is away."""

    value: bytes | None = None
    leads: bool = False
    waited: bool = False
    """Whether somebody else led when it was first asked for."""
    since: int = 0
    """When the flight began, in microseconds of Redis' clock."""
    key: str = ""
    token: str = ""


class Flights:
    """Flights by key. ``cuts`` is the hash that says from when on values with a label are valid."""

    def __init__(self, redis: Redis, *, cuts: str) -> None:
        self._lenient = Lenient()
        self._cuts = cuts
        self._join, self._renew = script(redis, "join"), script(redis, "renew")
        self._lookouts: WeakValueDictionary[str, _Lookout] = WeakValueDictionary()

    @asynccontextmanager
    async def join(
        self, key: str, *, patience: float, labels: Sequence[str] = (), period: float = 0
    ) -> AsyncGenerator[Flight]:
        """The value under ``key``, else the lead while the block runs.

        ``patience`` in seconds; ``labels`` and ``period``, in seconds, too, say which values are void by now.
        """
        flight = await self._await_turn(key, patience, (round(1_000_000 * period), *labels))
        if not flight.leads:
            yield flight
            return
        renewing = asyncio.create_task(self._keep_lead(flight))
        try:
            yield flight
        finally:
            renewing.cancel()
            await self.release(flight)

    async def release(self, flight: Flight) -> None:
        """Give up the lead before the block ends: the value is there, or never will be."""
        await self._extend(flight, 0)
        if (lookout := self._lookouts.get(flight.key)) is not None:
            lookout.called.set()

    async def _await_turn(self, key: str, patience: float, valid: Sequence[str | int]) -> Flight:
        lookout = self._lookouts.setdefault(key, _Lookout())
        before = lookout.naps
        try:
            async with asyncio.timeout(patience), lookout:
                pause = FIRST_LOOK
                while (flight := await lookout.look(lambda: self._ask(key, valid))) is None:
                    await lookout.nap(pause)
                    pause = min(1.5 * pause, LAST_LOOK)
        except TimeoutError:
            return Flight(waited=True)
        flight.waited = lookout.naps > before
        return flight

    async def _ask(self, key: str, valid: Sequence[str | int]) -> Flight | None:
        """``None`` while somebody else leads."""
        token = uuid4().hex
        args = [token, _milliseconds(LEASE), *valid]
        match await self._lenient(lambda: self._join([key, _lead(key), self._cuts], args)):
            case []:
                return None
            case [int(since)]:
                return Flight(leads=True, since=since, key=key, token=token)
            case [int(since), bytes(value)]:
                return Flight(value, since=since)
            case _:
                return Flight()

    async def _keep_lead(self, flight: Flight) -> None:
        while not cancelled():
            await asyncio.sleep(RENEW)
            if await self._extend(flight, LEASE) == 0:
                return  # released, or lost for good

    async def _extend(self, flight: Flight, lease: float) -> int | None:
        return await self._lenient(lambda: self._renew([_lead(flight.key)], [flight.token, _milliseconds(lease)]))


class _Lookout(asyncio.Lock):
    """Held by the one who looks; ``naps`` counts how often it found that somebody else leads."""

    def __init__(self) -> None:
        super().__init__()
        self.naps = 0
        self.called = asyncio.Event()
        """A leader in this process has ended: no need to wait for the next look."""

    async def look(self, ask: Callable[[], Awaitable[Flight | None]]) -> Flight | None:
        self.called.clear()  # before: who calls while we ask must not be missed
        return await ask()

    async def nap(self, seconds: float) -> None:
        self.naps += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.called.wait()


def script(redis: Redis, name: str) -> AsyncScript:
    """A script of this package, ready to be called."""
    return redis.register_script((Path(__file__).parent / "lua" / f"{name}.lua").read_text(encoding="utf-8"))


def _lead(key: str) -> str:
    return f"{key}:lead"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
