"""The shelf: answers that may be used again, in Redis, never more than so many bytes.

An answer is fetched by one and waited for by all others who ask meanwhile (``flights``). Invalidation is a cut in time:
what began before it is void, also what is still being fetched. Redis away: nothing is found and nothing is kept.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from agentfleet.caching.flights import Flight, Flights, script
from agentfleet.caching.lenient import Lenient
from agentfleet.caching.reuse import LONGEST, Reuse
from agentfleet.telemetry import metrics

ALL = "all"
"""The label that everything has."""
LARGEST_SHARE = 16
"""One answer takes at most this part of the shelf."""
BOOKS_KEPT = round(LONGEST.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. ``digest`` names everything that decides the answer; ``kind`` and ``name`` are for people."""

    kind: str
    name: str
    digest: str
    reuse: Reuse
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """How often answers of one kind and name were kept, and used again."""

    kept: int = 0
    hits: int = 0


@dataclass(frozen=True, slots=True)
class Stock:
    """What is on the shelf. ``counts`` by kind and name."""

    entries: int
    size: int
    cap: int
    counts: Mapping[tuple[str, str], Counted]


class Shelf:
    """Belongs to one event loop. ``patience``: the most seconds to wait for somebody else's answer."""

    def __init__(self, redis: Redis, *, prefix: str, patience: float, cap: int) -> None:
        self._redis, self._patience, self._cap = redis, patience, cap
        self._at = f"{prefix}:cache"
        self._lenient = Lenient()
        self._flights = Flights(redis, cuts=f"{self._at}:cuts")
        self._land, self._cut = script(redis, "land"), script(redis, "cut")
        self._clear, self._stock = script(redis, "clear"), script(redis, "stock")

    @asynccontextmanager
    async def look(self, wanted: Wanted, *, patience: float | None = None) -> AsyncGenerator["Place"]:
        """The place of an answer: with its ``value``, or to be filled by ``keep`` before the block ends."""
        period = wanted.reuse.period
        joining = self._flights.join(
            self._key(wanted),
            patience=self._patience if patience is None else min(patience, self._patience),
            labels=(ALL, *wanted.labels, *(f"tag:{tag}" for tag in wanted.reuse.tags)),
            period=0 if period is None else period.total_seconds(),
        )
        async with joining as flight:
            metrics.RESPONSE_CACHE.labels(wanted.kind, _result(flight)).inc()
            if flight.value is not None:
                await self._lenient(lambda: self._count(f"hits:{wanted.kind}:{wanted.name}"))
            yield Place(self, wanted, flight)

    async def keep(self, wanted: Wanted, flight: Flight, payload: bytes) -> None:
        """Keep the answer that this flight was for, unless it is too large."""
        if not flight.leads or len(payload) * LARGEST_SHARE > self._cap:
            return
        ttl = round(wanted.reuse.ttl.total_seconds() * 1000)
        keys = [self._key(wanted), *self._books()]
        args = [flight.since, payload, ttl, self._cap, BOOKS_KEPT, f"kept:{wanted.kind}:{wanted.name}"]
        await self._lenient(lambda: self._land(keys, args))

    async def invalidate(self, labels: Sequence[str]) -> None:
        """Use nothing again that began before now and has one of ``labels``. Raises what Redis raises."""
        await self._cut([f"{self._at}:cuts"], [BOOKS_KEPT, *labels])

    async def clear(self) -> int:
        """Use nothing again, and take everything off the shelf; how much that was. Raises what Redis raises."""
        await self.invalidate([ALL])
        return await self._clear(self._books()[:2])

    async def stock(self) -> Stock:
        """What is there. Raises what Redis raises."""
        entries, size, counted = await self._stock(self._books())
        return Stock(entries, size, self._cap, _by_name(dict(zip(counted[::2], counted[1::2], strict=True))))

    async def _count(self, what: str) -> None:
        await self._redis.hincrby(self._books()[2], what, 1)

    def _key(self, wanted: Wanted) -> str:
        return f"{self._at}:{wanted.kind}:{wanted.digest}"

    def _books(self) -> tuple[str, str, str]:
        return f"{self._at}:index", f"{self._at}:bytes", f"{self._at}:counts"


class Place:
    """Where one answer is, or belongs."""

    def __init__(self, shelf: Shelf, wanted: Wanted, flight: Flight) -> None:
        self._shelf, self._wanted, self._flight = shelf, wanted, flight
        self.value = flight.value

    async def keep(self, payload: bytes) -> None:
        """Keep ``payload``. Never raises for a broken Redis."""
        await self._shelf.keep(self._wanted, self._flight, payload)


def _result(flight: Flight) -> str:
    if flight.value is not None:
        return "shared" if flight.waited else "hit"
    return "miss" if flight.leads else "alone"


def _by_name(counted: Mapping[bytes, bytes]) -> dict[tuple[str, str], Counted]:
    """From ``hits:tool:look`` → 3 and the like."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for field, count in counted.items():
        what, kind, name = field.decode().split(":", 2)
        found.setdefault((kind, name), {})[what] = int(count)
    return {name: Counted(**counts) for name, counts in sorted(found.items())}
