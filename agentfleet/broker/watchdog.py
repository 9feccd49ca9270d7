"""The consumer watchdog: a worker that is connected, has room and takes nothing must not look healthy for ever.

Such deaf consumers have come back in Celery and kombu year after year, each time for another reason, so nothing here
asks for reasons. It only looks, some times per patience, from outside of the consume loop:

- **Excused** is a worker that cannot be expected to take a message: it has no room, or its consumer was cancelled, or
  Redis does not answer *this* thread either, or is full or a replica: who waits for Redis is not deaf.
- **Lively** is a consume loop that has ended a pop since the last look (empty ones count: one ends every second),
  unless the message that is next in the queue is still the one of the last look: nobody takes it, and here is room.

A worker that was neither for its whole patience is deaf. Not detected: a loop that pops and drops what it popped; the
reconciler sends that again, and to others.
"""

import asyncio
import math
import time
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.broker import names
from agentfleet.cancellation import cancelled
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.watchdog")

LOOKS = 6
"""Looks per patience. Counted, not timed: a process that was stopped for an hour has shown no deafness by that."""
CONDEMNED_AFTER = 2
"""Patiences without a look that finds life after which probes are told so: one was there for ending the process."""


class Watchdog:
    """Watches the consumer of ``queue``. ``pops`` says how many pops have ended so far; ``patience`` in seconds."""

    def __init__(self, redis: Redis, queue: str, *, pops: Callable[[], int], patience: float) -> None:
        self._redis, self._queue, self._pops, self._patience = redis, queue, pops, patience
        self._seen = pops()
        self._next: bytes | None = None
        self._well_at = time.monotonic()

    async def deaf(self, excused: Callable[[], bool]) -> None:
        """Return when the consumer is deaf; ``excused``: it need not take anything now.

        Who cancels this excuses for ever.
        """
        silent = 0
        try:
            while silent < LOOKS:
                await asyncio.sleep(self._patience / LOOKS)
                if await self.look(excused):
                    silent, self._well_at = 0, time.monotonic()
                else:
                    silent += 1
                metrics.CONSUMER_SILENCE.set(silent / LOOKS)
                if cancelled():
                    raise asyncio.CancelledError  # noqa: TRY301  # to the same place as a caught one
        except asyncio.CancelledError:
            self._well_at = math.inf  # a drain takes the time that it takes
            raise
        metrics.CONSUMER_STUCK.inc()
        log.critical("consumer_stuck", queue=self._queue, silent_for=self._patience)

    async def look(self, excused: Callable[[], bool]) -> bool:
        """Whether the consumer has shown life since the last look, or has an excuse."""
        if excused():
            return True
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.lpushx(names.void(self._queue), b"")
                pipe.lindex(self._queue, -1)
                _, found = await pipe.execute()
        except (RedisError, OSError):
            return True
        lively = self._pops() != self._seen and (found is None or found != self._next)
        self._seen, self._next = self._pops(), found
        return lively

    def healthy(self) -> bool:
        """For probes, from any thread: whether the watchdog itself still looks, and finds what it wants to see."""
        return time.monotonic() - self._well_at < CONDEMNED_AFTER * self._patience
