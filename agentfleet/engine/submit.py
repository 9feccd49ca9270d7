"""Submit: accept runs durably. The caller may answer 202 when this returns: the commit has happened.

Concurrent submits of one tenant share a transaction. A request key that was taken before returns the run that took it,
if the request was the same.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentfleet.domain.errors import Conflict
from agentfleet.domain.model import Doorbell
from agentfleet.domain.states import StepState
from agentfleet.engine.batcher import Batcher
from agentfleet.engine.ports import Publisher
from agentfleet.store import runs
from agentfleet.store.database import LOST_CONNECTION, UNWRITABLE, Database
from agentfleet.store.runs import NewRun
from agentfleet.telemetry import metrics

REUSED = "this Idempotency-Key was used before with another body: send a new key, or the same body"


class ParentEnded(Conflict):
    """The parent run has ended, so nothing may be added to it."""


class KeyReused(Conflict):
    """The request key was used before, for another request."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted run; ``replayed`` when an earlier request with the same key had been accepted."""

    run_id: str
    created_at: datetime
    replayed: bool = False


class Submitter:
    """Accepts runs for one ingress process."""

    def __init__(self, db: Database, publisher: Publisher, *, window: int) -> None:
        self._db, self._publisher, self._window = db, publisher, window
        self._tenants: dict[str, Batcher[NewRun, Submitted | Conflict]] = {}
        self._ringing: set[asyncio.Task[None]] = set()

    async def __call__(self, tenant_id: str, run: NewRun) -> Submitted:
        """Accept ``run``; raises ``KeyReused``, ``ParentEnded``, or one of ``LOST_CONNECTION`` when nobody knows (ask
        again by key).
        """
        batch = self._tenants.get(tenant_id)
        if batch is None:
            batch = self._tenants[tenant_id] = Batcher(lambda new: self._submit(tenant_id, new), splits=UNWRITABLE)
        submitted = await batch(run)
        if isinstance(submitted, Conflict):
            raise submitted
        return submitted

    async def _submit(self, tenant_id: str, new: Sequence[NewRun]) -> Sequence[Submitted | Conflict]:
        """One result for each of ``new``. A reused key is a result too: its neighbours are committed by then."""
        try:
            accepted = await runs.submit(self._db, tenant_id, new, window=self._window)
        except LOST_CONNECTION:
            accepted = await runs.read_accepted(self._db, tenant_id, [run.run_id for run in new])
            if not accepted:  # the commit did not arrive; had it, it would have taken all but those with taken keys
                raise
        self._ring([(run, accepted[run.run_id]) for run in new if run.run_id in accepted])
        missing = [run for run in new if run.run_id not in accepted]
        replayed = await self._replayed(tenant_id, missing) if missing else {}
        return [
            replayed[run.run_id] if run.run_id in replayed else Submitted(run.run_id, accepted[run.run_id].created_at)
            for run in new
        ]

    async def _replayed(self, tenant_id: str, missing: Sequence[NewRun]) -> dict[str, Submitted | Conflict]:
        taken = await runs.taken_keys(self._db, tenant_id, [run.key for run in missing if run.key is not None])
        found: dict[str, Submitted | Conflict] = {}
        for run in missing:
            first = taken.get(run.key or "")
            if first is None:
                found[run.run_id] = ParentEnded("the parent run has ended")
            elif first.fingerprint == run.fingerprint:
                found[run.run_id] = Submitted(first.run_id, first.created_at, replayed=True)
            else:
                found[run.run_id] = KeyReused(REUSED)
        return found

    def _ring(self, accepted: Sequence[tuple[NewRun, runs.Accepted]]) -> None:
        """Publish in the background: the runs are safe, and a slow broker must not delay their answers."""
        if accepted:
            task = asyncio.create_task(self._publish(accepted))
            self._ringing.add(task)
            task.add_done_callback(self._ringing.discard)

    async def _publish(self, accepted: Sequence[tuple[NewRun, runs.Accepted]]) -> None:
        for run, _ in accepted:
            metrics.RUNS_ACCEPTED.labels(run.agent).inc()
        ringing = [
            Doorbell(
                run.step_id,
                run.run_id,
                run.pool,
                run.agent,
                run.first.kind.value,
                run.first.name,
                0,
                1,
                run.traceparent,
            )
            for run, row in accepted
            if row.step_state == StepState.DISPATCHED
        ]
        if ringing:
            metrics.DISPATCHED.labels("fast").inc(len(ringing))
            await self._publisher.publish(ringing)
        for pool in {run.pool for run, row in accepted if row.step_state != StepState.DISPATCHED}:
            await self._publisher.wake(pool)
