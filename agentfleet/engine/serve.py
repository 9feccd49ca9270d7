"""Serve: everything that a step worker does on its event loop, whoever brings the messages."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

import structlog

from agentfleet.cancellation import cancelled
from agentfleet.domain.errors import LeaseLost, WorkerStopping
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.execute import Executor
from agentfleet.engine.heartbeat import Leases
from agentfleet.engine.ports import Publisher
from agentfleet.engine.recall import recall
from agentfleet.store import steps
from agentfleet.store.database import LOST_CONNECTION, Database
from agentfleet.store.ids import new_id

log = structlog.get_logger("agentfleet.worker")

LAST_SETTLES = 5.0
"""Seconds that the settles of handed-back steps may take at the end of a drain."""
RECONNECT_DELAY = 0.5
"""Seconds between tries to write what nobody will send again."""


class StepServer:
    """Runs steps until it is drained. ``heartbeat`` in seconds."""

    def __init__(
        self,
        db: Database,
        publisher: Publisher,
        execute: Executor,
        leases: Leases,
        canceller: Canceller,
        *,
        heartbeat: float,
        pool: str,
    ) -> None:
        self._db, self._publisher, self._execute = db, publisher, execute
        self._leases, self._canceller = leases, canceller
        self._heartbeat, self._pool = heartbeat, pool
        self._running: set[asyncio.Task[object]] = set()
        self._unclaimed: list[str] = []
        self._draining = False
        self._patience: asyncio.Timeout | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def draining(self) -> bool:
        """Whether it claims nothing any more."""
        return self._draining

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
            self._spawn(self._insist(lambda: self._canceller.cancel(run_id, reason="revoked through Celery")))

    def bury(self, raw: bytes, problem: str) -> None:
        """Keep a message that is no step of ours."""
        log.error("message_buried", problem=problem, size=len(raw))
        letter = new_id()
        self._spawn(self._insist(lambda: steps.bury_message(self._db, letter, raw, problem)))

    def close(self) -> None:
        """Claim nothing more."""
        self._draining = True

    def hurry(self) -> None:
        """Cut a drain's wait for steps to finish short; handing back takes the time that it takes."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def drain(self, within: float) -> None:
        """Claim nothing more, let finish what ends ``within`` seconds, hand back the rest."""
        self.close()
        log.info("drain_started", running=len(self._running), within=within)
        await self._recall()
        self._patience = asyncio.timeout(within)
        await self._finished(self._patience)
        self._patience = None
        stopped = self._leases.close(WorkerStopping("the worker stops"))
        await self._finished(asyncio.timeout(LAST_SETTLES))
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        await self._recall()
        if stopped:
            await self._publisher.wake(self._pool)
        log.info("drain_ended", handed_back=stopped, left=len(self._running))

    async def _finished(self, patience: asyncio.Timeout) -> None:
        """Wait until nothing runs, or patience ends."""
        with contextlib.suppress(TimeoutError):
            async with patience:
                while self._running:
                    await asyncio.wait(self._running)

    async def _recall(self) -> None:
        """Return what was never claimed. Without a database the reconciler rings for it later."""
        step_ids, self._unclaimed = self._unclaimed, []
        try:
            async with asyncio.timeout(LAST_SETTLES):
                recalled = await recall(self._db, self._publisher, self._pool, step_ids)
        except (TimeoutError, *LOST_CONNECTION) as error:
            log.warning("recall_failed", steps=len(step_ids), error=str(error))
        else:
            if recalled:
                log.info("recalled", steps=recalled)

    async def _run(self, step_id: str, done: Callable[[str | None], None]) -> None:
        outcome = None
        try:
            if _is_uuid(step_id) and await self._may_claim(step_id):
                outcome = await self._execute(step_id)
        except LOST_CONNECTION as error:
            log.warning("claim_failed", message_id=step_id, error=str(error))  # it is sent again; or the lease decides
        except (Exception, SystemExit):  # a tool that exits must not take the other steps with it
            log.exception("step_abandoned", step_id=step_id)  # its lease decides
        finally:
            done(outcome)

    async def _may_claim(self, step_id: str) -> bool:
        """Wait while outcomes cannot be written; ``False`` when the drain has begun meanwhile: then it goes back."""
        while self._execute.stuck:
            await asyncio.sleep(RECONNECT_DELAY)
            if self._draining:
                self._unclaimed.append(step_id)
                return False
        return True

    async def _insist(self, work: Callable[[], Awaitable[object]]) -> None:
        """Nobody will ask for it again, so outlast the database's absence."""
        while True:
            try:
                await work()
            except LOST_CONNECTION as error:
                log.warning("not_written_yet", error=str(error))
                await asyncio.sleep(RECONNECT_DELAY)
            except Exception:
                log.exception("not_written")
                return
            else:
                return

    async def _beat(self) -> None:
        while not cancelled():
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
