"""Rescue: a step whose lease has ended is settled as a crashed attempt, through the same path as any other failure.

Settling checks the fence and that the lease is still over, so a worker that renews in this instant keeps its step, and
one that wakes up later can change nothing.

A dead worker takes everything along that it ran, and all of that has crashed once more; who is to blame is for
``domain.retry`` to say. A database that was away, or a leader that is new, sees leases that nobody could renew: those
workers get the time of a heartbeat first, so that an outage counts as no crash and repeats no call.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable

import structlog

from agentfleet.domain.errors import EffectUnknown, LeaseExpired, StepError
from agentfleet.domain.retry import RetryPolicy
from agentfleet.domain.settlement import failed
from agentfleet.domain.waste import Cause
from agentfleet.engine import tally
from agentfleet.engine.ports import Publisher
from agentfleet.engine.settle import Settler
from agentfleet.store import steps
from agentfleet.store.database import Database
from agentfleet.store.steps import Expired
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.rescue")

BATCH = 500
GRACE = 1.5
"""Heartbeats that workers get after a time in which we did not look: one, and the way to the database."""
MISSED_LOOKS = 3
"""So many looks were left out: we were away, and not only busy."""


class Rescuer:
    """Rescues steps of every pool. ``lease`` and ``heartbeat`` in seconds are those of the workers; ``run_once`` is
    called every ``poll`` seconds.
    """

    def __init__(  # noqa: PLR0913  # keywords
        self,
        db: Database,
        settler: Settler,
        publisher: Publisher,
        policy: RetryPolicy,
        *,
        pool: str,
        lease: float,
        heartbeat: float,
        poll: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._settler, self._publisher, self._policy, self._pool = db, settler, publisher, policy, pool
        self._lease, self._heartbeat, self._clock = lease, heartbeat, clock
        self._away_after = max(heartbeat, MISSED_LOOKS * poll)
        self._looked = -math.inf
        self._patient_until = -math.inf

    async def run_once(self) -> int:
        """Take back up to ``BATCH`` steps; how many were ours to take."""
        expired = await steps.expired(self._db, limit=BATCH, lease=self._lease)
        metrics.LEASE_EXPIRED.set(len(expired))
        if self._patient():
            return 0
        rescued = sum(await asyncio.gather(*(self._rescue(one) for one in expired)))
        self._looked = self._clock()
        if rescued:
            await self._publisher.wake(self._pool)
        return rescued

    def _patient(self) -> bool:
        """Whether workers may still be on their way back to a database that we have just seen again."""
        now = self._clock()
        if now - self._looked > self._away_after:
            self._patient_until = now + GRACE * self._heartbeat
        self._looked = now
        return now < self._patient_until

    async def _rescue(self, one: Expired) -> bool:
        jitter = random.random()
        done = failed(one, _what_happened(one), self._policy, jitter=jitter, rescue=True, company=one.company)
        taken = await self._settler(done, one.worker or "")
        if taken:
            tally.run_ended(one.agent, one.kind, done)
            metrics.RESCUED.inc()
            metrics.WASTED_TOKENS.labels(Cause.CRASHED.value).inc(one.prompt_tokens)
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
        **evidence,
    )
