"""Rescue: a step whose lease has ended is settled as a crashed attempt, through the same path as any other failure.

Settling checks the fence and that the lease is still over, so a worker that renews in this instant keeps its step, and
one that wakes up later can change nothing.

A dead worker takes everything along that it ran, and all of that has crashed once more. But it died of one step at
most. So those that die together a second time come back one after the other, and of those that are due to be buried as
poison only the one that was claimed last is: what kills its worker tends to do so soon after its claim.
"""

import asyncio
import random

import structlog

from agentfleet.domain.errors import EffectUnknown, LeaseExpired, StepError
from agentfleet.domain.retry import RetryPolicy
from agentfleet.domain.settlement import failed
from agentfleet.engine.ports import Publisher
from agentfleet.engine.settle import Settler
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.store.steps import Expired
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.rescue")

BATCH = 500
APART = 1.5
"""Seconds between the returns of steps that died together again: longer than it takes to promote and to claim one."""
FARTHEST = 4
"""Returns apart; whoever is less suspect comes with the last, so that nobody waits much longer than six seconds."""


class Rescuer:
    """Rescues steps of every pool."""

    def __init__(self, db: Database, settler: Settler, publisher: Publisher, policy: RetryPolicy, *, pool: str) -> None:
        self._db, self._settler, self._publisher, self._policy, self._pool = db, settler, publisher, policy, pool

    async def run_once(self) -> int:
        """Take back up to ``BATCH`` steps; how many were ours to take."""
        expired = await steps.expired(self._db, limit=BATCH)
        metrics.LEASE_EXPIRED.set(len(expired))
        rescued = sum(await asyncio.gather(*(self._rescue(one) for one in expired)))
        if rescued:
            await self._publisher.wake(self._pool)
        return rescued

    async def _rescue(self, one: Expired) -> bool:
        jitter = random.random()
        taken = await self._settler(
            failed(one, _what_happened(one), self._policy, jitter=jitter, rescue=True), one.worker or ""
        )
        if taken:
            metrics.RESCUED.inc()
            metrics.RUN_RECOVERY.observe(one.overdue)
            log.warning(
                "step_rescued", run_id=one.run_id, step_id=one.step_id, worker=one.worker, overdue=round(one.overdue, 1)
            )
        return taken


def _what_happened(one: Expired) -> StepError:
    evidence = {"worker": one.worker, "deaths": one.deaths}
    if one.effect == "unsafe":
        return EffectUnknown(
            f"{one.name} was cut off when its worker died; nobody knows whether it happened", **evidence
        )
    return LeaseExpired(
        f"worker {one.worker} stopped renewing its lease: crash {one.crashes + 1} of this step",
        apart=None if one.suspicion is None else APART * min(one.suspicion, FARTHEST),
        **evidence,
    )
