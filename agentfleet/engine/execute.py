"""Execute: one message as a pipeline: claim, hold, perform, settle, release."""

import asyncio

import structlog

from agentfleet.domain.errors import LeaseLost
from agentfleet.domain.model import Claimed, Settlement
from agentfleet.engine import tally
from agentfleet.engine.claim import Claims
from agentfleet.engine.heartbeat import Held, Leases
from agentfleet.engine.perform import Performer, interrupted
from agentfleet.engine.settle import Settler
from agentfleet.store.database import LOST_CONNECTION
from agentfleet.telemetry import metrics, tracing
from agentfleet.telemetry.spans import Span

log = structlog.get_logger("agentfleet.step")


class Executor:
    """Runs steps for one worker process, any number at a time, on one event loop."""

    def __init__(self, claims: Claims, leases: Leases, performer: Performer, settler: Settler, *, worker: str) -> None:
        self._claims, self._leases, self._performer, self._settler = claims, leases, performer, settler
        self.worker = worker

    @property
    def stuck(self) -> bool:
        """Whether a step would only wait here, unclaimed, as outcomes cannot be written."""
        return self._settler.stuck

    async def __call__(self, step_id: str) -> str | None:
        """Run one step; the event that ended its attempt, or ``None`` when it was not ours to run or to settle."""
        await self._settler.writable()
        claimed, asked_at = await self._claim(step_id)
        if claimed is None:
            return None
        structlog.contextvars.bind_contextvars(
            run_id=claimed.run_id,
            step_id=claimed.step_id,
            tenant_id=claimed.tenant_id,
            attempt=claimed.attempt,
            fence=claimed.fence,
            trace_id=_trace_id(claimed),
        )
        with tracing.step(claimed) as span:
            held = self._leases.hold(claimed, asked_at=asked_at)
            try:
                return await self._attempt(held, span)
            finally:
                self._leases.release(held)

    async def _attempt(self, held: Held, span: Span) -> str | None:
        claimed, stopped = held.claimed, held.stopped_by  # stopped in the moment of its claim: nothing has begun
        done = await self._perform(held) if stopped is None else self._performer.failed(claimed, stopped)
        if done is None:
            tracing.fenced(span)
            return None
        held.settling = True
        tracing.settling(span, done)
        ours = await self._settler(done, self.worker)
        log.debug("step_settled", seq=claimed.seq, kind=claimed.kind, outcome=done.event.value, ours=ours)
        if not ours:
            tracing.fenced(span)
            return None
        tally.run_ended(claimed.agent, claimed.kind, done)
        return done.event.value

    async def _claim(self, step_id: str) -> tuple[Claimed | None, float]:
        """The claimed step, and when the claim was sent, on the leases' clock. A lost connection is worth a second try.

        Should the first have been committed after all, the second finds nothing, and the lease decides.
        """
        asked_at = self._leases.clock()
        try:
            return await self._claims(step_id), asked_at
        except LOST_CONNECTION:
            asked_at = self._leases.clock()
            return await self._claims(step_id), asked_at

    async def _perform(self, held: Held) -> Settlement | None:
        """The attempt's settlement, or ``None`` when the step is no longer ours."""
        try:
            return await self._performer(held.claimed, lambda: self._leases.check(held))
        except LeaseLost as lost:
            return _lost(lost)
        except asyncio.CancelledError:
            if held.stopped_by is None:
                raise
            held.task.uncancel()  # the cancellation was ours and has done its work
            if isinstance(held.stopped_by, LeaseLost):
                return _lost(held.stopped_by)
            return self._performer.failed(held.claimed, interrupted(held.claimed, held.stopped_by))


def _lost(reason: LeaseLost) -> None:
    metrics.LEASES_LOST.inc()
    log.warning("lease_lost", reason=str(reason))


def _trace_id(claimed: Claimed) -> str | None:
    """The trace id of a W3C traceparent (``version-trace-parent-flags``)."""
    parts = (claimed.traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
