"""Token deltas: to a Redis stream per run, coalesced, and only while somebody listens. May lose everything."""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context
from weakref import WeakValueDictionary

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.broker import names
from agentfleet.cancellation import cancelled

log = structlog.get_logger("agentfleet.deltas")

FLUSH_EVERY = 0.05
"""Seconds: people see text flow, Redis sees twenty writes a second instead of one per token."""
LOOK_EVERY = 10
"""Flushes between two looks at who listens: half a second."""
MAX_ENTRIES = 2_000
TTL = 300
"""Seconds a stream outlives its last delta."""


class _Writer:
    """Collects one step's text. The caller keeps it; when the call ends it is gone from here too."""

    __slots__ = ("__weakref__", "pieces", "run_id", "step_id", "wanted")

    def __init__(self, run_id: str, step_id: str) -> None:
        self.run_id, self.step_id = run_id, step_id
        self.wanted, self.pieces = False, list[str]()

    def __call__(self, text: str) -> None:
        if self.wanted:
            self.pieces.append(text)


class RedisDeltas:
    """The engine's ``Deltas`` over Redis. Belongs to one event loop."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis, self._prefix = redis, prefix
        self._writers: WeakValueDictionary[str, _Writer] = WeakValueDictionary()
        self._task: asyncio.Task[None] | None = None

    def writer(self, run_id: str, step_id: str) -> Callable[[str], None]:
        """Where the pieces of one model call go."""
        writer = self._writers[step_id] = _Writer(run_id, step_id)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), context=Context())  # its log lines are of no step
        return writer

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        ticks = 0
        while not cancelled():
            try:
                if ticks % LOOK_EVERY == 0:
                    await self._look()
                await self._flush()
            except (RedisError, OSError) as error:
                log.debug("deltas_lost", error=str(error))
            ticks += 1
            await asyncio.sleep(FLUSH_EVERY)

    async def _look(self) -> None:
        writers = list(self._writers.values())
        if writers:
            wanted = await self._redis.mget([names.listeners(self._prefix, w.run_id) for w in writers])
            for writer, value in zip(writers, wanted, strict=True):
                writer.wanted = value is not None

    async def _flush(self) -> None:
        full = [w for w in self._writers.values() if w.pieces]
        if not full:
            return
        pipe = self._redis.pipeline(transaction=False)
        for writer in full:
            delta = orjson.dumps({"step_id": writer.step_id, "text": "".join(writer.pieces)})
            writer.pieces.clear()
            stream = names.deltas(self._prefix, writer.run_id)
            pipe.xadd(stream, {"d": delta}, maxlen=MAX_ENTRIES, approximate=True)
            pipe.expire(stream, TTL)
        await pipe.execute()
