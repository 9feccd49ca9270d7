"""The connections of one process to the provider: a seat for every call, shared by all accounts.

They are counted here and not in the HTTP client, which can say neither how many are busy nor for what a call waited.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import structlog

from agentfleet.provider.limits import QUEUE_SECONDS, Limits, NoneFree
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.provider")

NEARLY_FULL = 0.8
"""Share of busy connections that is worth a warning, once: more room takes a deploy, and 100 % makes steps wait."""
RELIEVED = 0.7
"""Below this share the next crossing is news again."""


Crossed = Callable[[bool, int, int], None]
"""Gets whether they are nearly all busy now, how many are, and how many there are. Must not block."""


class Connections:
    """Seats for calls, first come, first served. Belongs to the event loop that uses it.

    ``crossed`` is told when they are nearly all busy, and when they no longer are.
    """

    def __init__(self, limits: Limits, crossed: Crossed | None = None) -> None:
        self.limits, self._crossed = limits, crossed
        self.busy = 0
        self._all = asyncio.Semaphore(limits.connections)
        self._hosts = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(min(limits.per_host or limits.connections, limits.connections))
        )
        self._warned = False
        metrics.PROVIDER_CONNECTIONS.labels("limit").set(limits.connections)

    async def take(self, host: str) -> "Seat":
        """A seat on a connection to ``host``; raises ``NoneFree`` after ``QUEUE_SECONDS``."""
        own = self._hosts[host]
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await own.acquire()
                try:
                    await self._all.acquire()
                except BaseException:
                    own.release()
                    raise
        except TimeoutError:
            raise NoneFree(
                f"all connections to {host} were busy for {QUEUE_SECONDS:g} s ({self.busy} of"
                f" AGENTFLEET_PROVIDER_POOL_SIZE={self.limits.connections},"
                f" AGENTFLEET_PROVIDER_POOL_PER_HOST={self.limits.per_host or self.limits.connections})"
            ) from None
        self._count(1)
        return Seat(self, own)

    def give_back(self, own: asyncio.Semaphore) -> None:
        """Somebody else may have the seat; ``own`` is that of its host."""
        own.release()
        self._all.release()
        self._count(-1)

    def _count(self, change: int) -> None:
        self.busy += change
        metrics.PROVIDER_CONNECTIONS.labels("busy").inc(change)
        share = self.busy / self.limits.connections
        if share >= NEARLY_FULL and not self._warned:
            log.warning("provider_pool_nearly_full", busy=self.busy, limit=self.limits.connections)
            self._cross(nearly_full=True)
        elif share < RELIEVED and self._warned:
            self._cross(nearly_full=False)

    def _cross(self, *, nearly_full: bool) -> None:
        self._warned = nearly_full
        if self._crossed is not None:
            self._crossed(nearly_full, self.busy, self.limits.connections)


class Seat:
    """One busy connection; ``leave`` it, once or more often."""

    def __init__(self, connections: Connections, own: asyncio.Semaphore) -> None:
        self._connections, self._own, self._left = connections, own, False

    def leave(self) -> None:
        """Give it back."""
        if not self._left:
            self._left = True
            self._connections.give_back(self._own)
