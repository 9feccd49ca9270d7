"""Token deltas as they come: one reader per process for all runs that somebody listens to. May lose everything.

While a run has listeners here, its listen key in Redis is kept alive, and the workers write its deltas to a stream.
Without Redis there are no deltas and no harm: the truth comes from Postgres.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.broker import names
from agentfleet.cancellation import cancelled

log = structlog.get_logger("agentfleet.api")

READ_EVERY: Final = 0.05
"""Workers write every 50 ms, so reading more often would find nothing new."""
REFRESH_EVERY: Final = 10.0
LISTEN_TTL: Final = 30
"""Seconds that workers go on writing for a listener whose process died."""
BROKEN: Final = 1.0
READ_COUNT: Final = 200
MAX_WAITING: Final = 500
"""Deltas kept for a client that reads slowly; the oldest are dropped."""


class Ear:
    """One listener: ``texts`` are JSON documents ``{"step_id", "text"}``; ``wake`` is set when there are some."""

    def __init__(self, wake: asyncio.Event) -> None:
        self.wake = wake
        self.texts: deque[bytes] = deque(maxlen=MAX_WAITING)


class DeltaReader:
    """The reader of one process. Belongs to one event loop."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis, self._prefix = redis, prefix
        self._ears: dict[str, set[Ear]] = {}
        self._positions: dict[str, str] = {}
        self._refresh_at = 0.0
        self._reader: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listen(self, run_id: str, wake: asyncio.Event) -> Generator[Ear]:
        """Hear the deltas of ``run_id`` from now on, inside the ``with`` block."""
        ear = Ear(wake)
        self._ears.setdefault(run_id, set()).add(ear)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_on())
        try:
            yield ear
        finally:
            self._ears[run_id].discard(ear)
            if not self._ears[run_id]:
                del self._ears[run_id]
                self._positions.pop(run_id, None)

    async def close(self) -> None:
        """Stop reading at once."""
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    async def _read_on(self) -> None:
        try:
            while self._ears and not cancelled():
                pause = READ_EVERY
                try:
                    await self._join()
                    await self._refresh()
                    await self._read()
                except (RedisError, OSError) as error:
                    log.debug("deltas_not_read", error=str(error))
                    pause = BROKEN
                await asyncio.sleep(pause)
        finally:
            self._reader = None

    async def _join(self) -> None:
        """Start newcomers at the end of their streams: what was said before belongs to steps that may have settled."""
        new = [run_id for run_id in self._ears if run_id not in self._positions]
        if not new:
            return
        pipe = self._redis.pipeline(transaction=False)
        for run_id in new:
            pipe.set(names.listeners(self._prefix, run_id), b"1", ex=LISTEN_TTL)
            pipe.xrevrange(names.deltas(self._prefix, run_id), count=1)
        replies: list[Any] = await pipe.execute()
        for run_id, newest in zip(new, replies[1::2], strict=True):
            if run_id in self._ears:
                self._positions[run_id] = newest[0][0].decode() if newest else "0-0"

    async def _refresh(self) -> None:
        if time.monotonic() < self._refresh_at:
            return
        pipe = self._redis.pipeline(transaction=False)
        for run_id in self._positions:
            pipe.set(names.listeners(self._prefix, run_id), b"1", ex=LISTEN_TTL)
        await pipe.execute()
        self._refresh_at = time.monotonic() + REFRESH_EVERY

    async def _read(self) -> None:
        streams = {names.deltas(self._prefix, run_id): run_id for run_id in self._positions}
        if not streams:
            return
        positions = {stream: self._positions[run_id] for stream, run_id in streams.items()}
        found: Any = await self._redis.xread(positions, count=READ_COUNT)  # pyright: ignore[reportArgumentType]  # dict is invariant
        for stream, entries in _pairs(found):
            run_id = streams[stream.decode()]
            if run_id not in self._ears:
                continue  # its last listener left while we read
            self._positions[run_id] = entries[-1][0].decode()
            texts = [text for _, fields in entries if (text := _text(fields)) is not None]
            for ear in self._ears[run_id]:
                ear.texts.extend(texts)
                ear.wake.set()


def _pairs(found: Any) -> Iterator[tuple[bytes, list[Any]]]:
    """What XREAD found, in RESP2's shape or in RESP3's."""
    if isinstance(found, dict):
        for stream, batches in found.items():  # pyright: ignore[reportUnknownVariableType]  # the client is untyped here
            yield stream, [entry for batch in batches for entry in batch]  # pyright: ignore[reportUnknownVariableType]
    else:
        yield from found or ()


def _text(fields: Any) -> bytes | None:
    """A delta as JSON text on one line, or ``None`` for an entry that is none of ours."""
    try:
        delta = orjson.loads(fields[b"d"])
        return orjson.dumps({"step_id": str(delta["step_id"]), "text": str(delta["text"])})
    except (KeyError, TypeError, ValueError):
        return None
