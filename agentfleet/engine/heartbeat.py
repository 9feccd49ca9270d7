"""Heartbeat: keep the leases of everything that this process runs, and notice what it has lost.

Two clocks, never mixed: the lease ends on the database's clock, which only SQL reads. Here a monotonic clock measures
how long ago the last successful renewal was *sent*; a lease is over for us no later than it is for the database.

A lease that is over forbids to begin anything. What has begun goes on: perhaps nobody could reach the database, and
then its result is still wanted; if somebody else has the step by now, the fence refuses it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agentfleet.domain.errors import LeaseLost
from agentfleet.domain.model import Claimed
from agentfleet.store import steps
from agentfleet.store.database import LOST_CONNECTION, Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.heartbeat")


@dataclass(eq=False, slots=True)
class Held:
    """One claimed step in this process. ``stopped_by`` says why its task was cancelled, when it was."""

    claimed: Claimed
    task: "asyncio.Task[object]"
    lease_end: float
    settling: bool = False
    stopped_by: BaseException | None = None

    def stop(self, reason: BaseException) -> None:
        """Cancel the work, unless it has ended and its outcome is being written."""
        if not self.settling and self.stopped_by is None:
            self.stopped_by = reason
            self.task.cancel()


class Leases:
    """Everything this process holds; ``beat`` renews it with one statement. ``clock`` counts monotonic seconds."""

    def __init__(self, db: Database, *, lease: float, pool: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._db, self._lease, self.clock = db, lease, clock
        self._held: dict[str, Held] = {}
        self._closed_by: BaseException | None = None
        self._busy = metrics.SLOTS_BUSY.labels(pool)

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, claimed: Claimed, *, asked_at: float) -> Held:
        """Hold a step, whose claim was sent at ``asked_at`` (monotonic), for the current task."""
        task = asyncio.current_task()
        assert task is not None, "a step is held by the task that performs it"  # noqa: S101  # for the type checker
        held = Held(claimed, task, asked_at + self._lease, stopped_by=self._closed_by)
        self._held[claimed.step_id] = held
        self._busy.set(len(self._held))
        return held

    def release(self, held: Held) -> None:
        """The step is settled or lost."""
        if self._held.get(held.claimed.step_id) is held:
            del self._held[held.claimed.step_id]
        self._busy.set(len(self._held))

    def check(self, held: Held) -> None:
        """Raise ``LeaseLost`` when the lease may be over: no side effect may start any more."""
        if self.clock() >= held.lease_end:
            raise LeaseLost(f"the lease of step {held.claimed.step_id} could not be renewed")

    def stop(self, step_ids: set[str], reason: BaseException) -> int:
        """Cancel these steps if they run here; how many did."""
        found = [self._held[step_id] for step_id in step_ids if step_id in self._held]
        for held in found:
            held.stop(reason)
        return len(found)

    def close(self, reason: BaseException) -> int:
        """Cancel everything, and from now on whatever was being claimed; how many ran."""
        self._closed_by = reason
        return self.stop(set(self._held), reason)

    async def beat(self) -> int:
        """Renew everything once; stop what is lost; how many leases are held after it."""
        asked_at, held = self.clock(), dict(self._held)
        if not held:
            return 0
        try:
            kept = await steps.renew(self._db, {i: h.claimed.fence for i, h in held.items()}, lease=self._lease)
        except LOST_CONNECTION as error:
            log.warning("heartbeat_failed", error=str(error), held=len(held))
            return len(self._held)
        for step_id, one in held.items():
            if step_id not in kept:
                one.stop(LeaseLost(f"step {step_id} is no longer ours"))
            elif kept[step_id]:
                one.lease_end = asked_at + self._lease
        return len(kept)
