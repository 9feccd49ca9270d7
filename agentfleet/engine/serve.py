"""Serve: everything that a step worker does on its event loop, whoever brings the messages."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

import structlog

from agentfleet.domain.errors import LeaseLost, WorkerStopping
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.execute import Executor
from agentfleet.engine.heartbeat import Leases
from agentfleet.engine.ports import Publisher
from agentfleet.engine.recall import recall
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id

log = structlog.get_logger("agentfleet.worker")

LAST_SETTLES = 5.0
"""Seconds that the settles of handed-back steps may take at the end of a drain."""


class StepServer:
    """Runs steps until it is drained. ``heartbeat`` in seconds."""

    def __init__(
        self, db: Database, publisher: Publisher, execute: Executor, leases: Leases, canceller: Canceller, *, heartbeat: float, pool: str
    ) -> None:
        self._db, self._publisher, self._execute, self._leases, self._canceller = db, publisher, execute, leases, canceller
        self._heartbeat, self._pool = heartbeat, pool
        self._running: set[asyncio.Task[object]] = set()
        self._unclaimed: list[str] = []
        self._draining = False
        self._beating: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the heartbeat."""
        self._beating = asyncio.create_task(self._beat())

    def start(self, step_id: str, done: Callable[[str | None], None]) -> None:
        """Run a step; ``done`` gets the event that ended its attempt, or ``None``. A draining server claims nothing."""
        if self._draining:
            self._unclaimed.append(step_id)
            done(None)
            return
        self._spawn(self._run(step_id, done))

    def stop(self, step_ids: set[str]) -> None:
        """These steps' runs were ended: stop working on them."""
        self._leases.stop(step_ids, LeaseLost("the run was ended"))

    def cancel_run(self, run_id: str) -> None:
        """Somebody revoked a step through Celery: cancel its run."""
        if _is_uuid(run_id):
            self._spawn(self._canceller.cancel(run_id, reason="revoked through Celery"))

    def bury(self, raw: bytes, problem: str) -> None:
        """Keep a message that is no step of ours."""
        log.error("message_buried", problem=problem, size=len(raw))
        self._spawn(steps.bury_message(self._db, new_id(), raw, problem))

    async def drain(self, within: float) -> None:
        """Claim nothing more, let finish what ends ``within`` seconds, hand back the rest."""
        self._draining = True
        log.info("drain_started", running=len(self._running), within=within)
        if self._running:
            await asyncio.wait(self._running, timeout=within)
        stopped = self._leases.stop_all(WorkerStopping("the worker stops"))
        if self._running:
            await asyncio.wait(self._running, timeout=LAST_SETTLES)
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        recalled = await recall(self._db, self._publisher, self._pool, self._unclaimed)
        if stopped:
            await self._publisher.wake(self._pool)
        log.info("drain_ended", handed_back=stopped, recalled=recalled, left=len(self._running))

    async def _run(self, step_id: str, done: Callable[[str | None], None]) -> None:
        outcome = None
        try:
            if _is_uuid(step_id):
                outcome = await self._execute(step_id)
        except Exception:
            log.exception("step_abandoned", step_id=step_id)  # its lease decides
        finally:
            done(outcome)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            try:
                await self._leases.beat()
            except Exception:
                log.exception("heartbeat_failed")

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
