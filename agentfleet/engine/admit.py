"""Admit: serve the queues of the provider's buckets, in weighted fair order, as fast as there is room.

A step that found no room waits in Postgres. Here it is given room and dispatched in one go: its worker finds that what
it needs was taken already. Steps that come meanwhile stand behind those who wait.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from agentfleet.domain.admission import Need
from agentfleet.domain.fairness import FairQueue, Turn, dominant_share
from agentfleet.engine.ports import Admission, Publisher
from agentfleet.store import admission as store
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

LOOK_EVERY = 1.0
"""Seconds between two looks at who waits; in between, those found are served."""
REST = 20.0
"""After a look nobody looks for so many times as long as it took, whoever asks: counting many steps takes its time."""
LONGEST_REST = 2.0
"""Seconds, though: those who came meanwhile wait for it, and a busy machine makes every look long."""
EXPECT_EVERY = 10.0
"""Seconds between two corrections of what those who wait are told."""
SHORTEST = 0.02
"""Seconds between two rounds: what fits until then is admitted together."""
PER_TENANT = 50
PER_ROUND = 100
PER_CORRECTION = 1_000

Step = tuple[str, Need]


@dataclass(slots=True)
class _Queue:
    """Who waits for one bucket, as of the last look."""

    fair: FairQueue[Step] = field(default_factory=FairQueue[Step])
    waiting: dict[str, list[Step]] = field(default_factory=dict[str, list[Step]])
    more: set[str] = field(default_factory=set[str])
    """Tenants of whom more wait than were looked up."""
    weights: dict[str, float] = field(default_factory=dict[str, float])
    total: tuple[float, float, float] = (0.0, 0.0, 0.0)
    limits: tuple[float, float, float] = (1.0, 1.0, 1.0)
    next_at: float = 0.0
    expect_at: float = 0.0

    def known(self, turns: list[Turn[Step]]) -> list[Turn[Step]]:
        """Up to the last step that is known of a tenant who has more: after it others would get its share."""
        last = {self.waiting[tenant][-1][0] for tenant in self.more & self.waiting.keys()}
        end = next((place for place, turn in enumerate(turns, 1) if turn.item[0] in last), len(turns))
        return turns[:end]


class Admitter:
    """Serves one pool's queues; the dispatcher's second duty. ``clock`` in seconds."""

    def __init__(
        self,
        db: Database,
        publisher: Publisher,
        admission: Admission,
        *,
        pool: str,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._db, self._publisher, self._admission, self._pool = db, publisher, admission, pool
        self._clock = clock or time.monotonic
        self._queues: dict[str, _Queue] = {}
        self._look_at, self._rests_until = -inf, -inf
        self._woken = asyncio.Event()

    async def run_once(self) -> int:
        """One round over all buckets; how many steps were admitted."""
        now = self._clock()
        if now >= self._look_at or (self._woken.is_set() and now >= self._rests_until):
            self._look_at = now + LOOK_EVERY  # should this one fail
            await self._look()
            took = self._clock() - now
            self._rests_until = now + min(took * REST, LONGEST_REST)
            self._look_at = max(now + LOOK_EVERY, self._rests_until)
            now += took
        due = [bucket for bucket, queue in self._queues.items() if queue.waiting and queue.next_at <= now]
        return sum([await self._serve(bucket, self._queues[bucket]) for bucket in due])

    async def wait(self, longest: float) -> None:
        """Until somebody may fit, or somebody new waits; at most ``longest`` seconds."""
        now = self._clock()
        soonest = min((queue.next_at for queue in self._queues.values() if queue.waiting), default=inf)
        seconds = min(max(soonest - now, SHORTEST), longest)
        if now < self._rests_until:
            await asyncio.sleep(min(self._rests_until - now, seconds))
            return
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return

    def wake(self) -> None:
        """Somebody new waits."""
        self._woken.set()

    async def _look(self) -> None:
        self._woken.clear()
        found: dict[str, list[store.Waiting]] = {}
        for row in await store.waiting(self._db, self._pool):
            found.setdefault(row.bucket, []).append(row)
        for bucket, queue in self._queues.items():
            if bucket not in found:
                queue.waiting, queue.more = {}, set()
                metrics.ADMISSION_QUEUE.labels(self._pool, bucket).set(0)
        for bucket, rows in found.items():
            queue = self._queues.setdefault(bucket, _Queue())
            queue.weights = {row.tenant_id: row.weight for row in rows}
            steps = sum(row.steps for row in rows)
            queue.total = (steps, sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows))
            await self._find(bucket, queue)
            metrics.ADMISSION_QUEUE.labels(self._pool, bucket).set(steps)

    async def _find(self, bucket: str, queue: _Queue) -> None:
        queue.waiting = await store.first(self._db, self._pool, bucket, list(queue.weights), limit=PER_TENANT)
        queue.more = {tenant for tenant, steps in queue.waiting.items() if len(steps) == PER_TENANT}

    async def _serve(self, bucket: str, queue: _Queue) -> int:
        queue.next_at = self._clock() + LOOK_EVERY  # should this round fail, others have their turn before the next one
        costs = {
            tenant: [(step, dominant_share(_axes(step[1]), queue.limits)) for step in steps]
            for tenant, steps in queue.waiting.items()
        }
        turns = queue.known(queue.fair.order(costs, queue.weights, most=PER_ROUND))
        given = await self._admission.admit(bucket, [turn.item for turn in turns], queue.total)
        queue.limits = given.limits
        for axis, limit in zip(("requests", "input_tokens", "output_tokens"), given.limits, strict=True):
            metrics.BUCKET_LIMIT.labels(bucket, axis).set(limit)
        now, next_in = self._clock(), given.next_in or 0.0
        queue.next_at = now + min(next_in, LOOK_EVERY)
        served = turns[: given.admitted]
        admitted = await self._dispatch([turn.item for turn in served]) if served else 0
        queue.fair.served(served)
        self._take_out(queue, served)
        if queue.more - queue.waiting.keys():
            await self._find(bucket, queue)
        if now >= queue.expect_at and queue.waiting:
            queue.expect_at = now + EXPECT_EVERY
            await self._tell(bucket, queue, next_in)
        return admitted

    async def _tell(self, bucket: str, queue: _Queue, next_in: float) -> None:
        """Correct what those who wait are told: limits become known, gates shut, others come first."""
        whole = sum(queue.weights.values())
        shares = {tenant: weight / whole for tenant, weight in queue.weights.items()}
        await store.expect(self._db, self._pool, bucket, shares, queue.limits, next_in=next_in, limit=PER_CORRECTION)

    def _take_out(self, queue: _Queue, served: Sequence[Turn[Step]]) -> None:
        gone = {turn.item[0] for turn in served}
        left = {tenant: [step for step in steps if step[0] not in gone] for tenant, steps in queue.waiting.items()}
        queue.waiting = {tenant: steps for tenant, steps in left.items() if steps}
        for turn in served:
            requests, inputs, outputs = _axes(turn.item[1])
            queue.total = (queue.total[0] - requests, queue.total[1] - inputs, queue.total[2] - outputs)

    async def _dispatch(self, steps: Sequence[Step]) -> int:
        doorbells = await store.admit(self._db, [step_id for step_id, _ in steps])
        dispatched = {bell.step_id for bell in doorbells}
        for step_id, need in steps:
            if step_id not in dispatched:
                self._admission.revoke(step_id, need)
        metrics.DISPATCHED.labels("admission").inc(len(doorbells))
        await self._publisher.publish(doorbells)
        return len(doorbells)


def _axes(need: Need) -> tuple[float, float, float]:
    return 1.0, float(need.input_tokens), float(need.output_tokens)
