"""Waiting for runs: one poller per process, whoever waits for whatever. Nobody waits: no statement.

A watcher registers a run id and sleeps on its own event; the poller looks at all watched runs with one statement and
wakes those whose run has moved. It looks every ``FASTEST`` seconds while runs move, and slows down to ``SLOWEST``.
"""

import asyncio
import contextlib
from collections.abc import Generator, Mapping
from typing import Final

import structlog

from agentfleet.domain.states import RUN_FINAL, RunState
from agentfleet.store import runs
from agentfleet.store.database import UNAVAILABLE, Database
from agentfleet.store.runs import Seen

log = structlog.get_logger("agentfleet.api")

FASTEST: Final = 0.05
SLOWEST: Final = 0.25
BROKEN: Final = 1.0
"""Seconds between looks while the database is away."""
SETTLED: Final = RUN_FINAL | {RunState.NEEDS_REVIEW}
"""States in which nothing changes by itself any more."""


class Watcher:
    """Somebody who waits for one run. ``wake`` is set when it has moved, and when the process stops."""

    def __init__(self, wake: asyncio.Event) -> None:
        self.wake = wake
        self.seen: Seen | None = None


class Watch:
    """The poller of one process. Belongs to one event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._watchers: dict[str, set[Watcher]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._newcomer = asyncio.Event()
        self.stopping = False

    @contextlib.contextmanager
    def on(self, run_id: str, wake: asyncio.Event | None = None) -> Generator[Watcher]:
        """Watch ``run_id``, which the caller has read as its own tenant, inside the ``with`` block."""
        watcher = Watcher(wake or asyncio.Event())
        self._watchers.setdefault(run_id, set()).add(watcher)
        self._newcomer.set()
        if self._poller is None and not self.stopping:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield watcher
        finally:
            self._watchers[run_id].discard(watcher)
            if not self._watchers[run_id]:
                del self._watchers[run_id]

    async def until_settled(self, run_id: str, seconds: float) -> None:
        """Return when the run has ended or needs a human, after ``seconds``, or when the process stops."""
        with self.on(run_id) as watcher, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.stopping and (watcher.seen is None or watcher.seen.state not in SETTLED):
                    watcher.wake.clear()
                    await watcher.wake.wait()

    def stop(self) -> None:
        """Send everybody home: the process stops, and answers with what it has."""
        self.stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake.set()

    async def close(self) -> None:
        """Stop, and wait for the poller's last statement."""
        self.stop()
        self._newcomer.set()
        if self._poller is not None:
            await self._poller

    async def _poll(self) -> None:
        pause = FASTEST
        try:
            while self._watchers and not self.stopping:
                self._newcomer.clear()
                pause = await self._look(pause)
                await asyncio.sleep(FASTEST)  # newcomers share a look: a thousand of them are not a thousand statements
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause - FASTEST):
                        await self._newcomer.wait()
        finally:
            self._poller = None

    async def _look(self, pause: float) -> float:
        """One look; how long to sleep until the next."""
        try:
            moved = self._tell(await runs.watch(self._db, list(self._watchers)))
        except Exception as error:  # a poller that dies would leave its watchers asleep for ever
            expected = isinstance(error, UNAVAILABLE)
            log.warning("watch_failed", error=str(error)[:500], exc_info=None if expected else error)
            return BROKEN
        return FASTEST if moved else min(pause * 1.5, SLOWEST)

    def _tell(self, found: Mapping[str, Seen]) -> bool:
        moved = False
        for run_id, seen in found.items():
            for watcher in self._watchers.get(run_id, ()):
                if watcher.seen is None or watcher.seen.version < seen.version:
                    watcher.seen, moved = seen, True
                    watcher.wake.set()
        return moved
