"""Tally: what became of attempts and runs, as counters."""

from functools import cache

from agentfleet.domain.blame import Blame, blame
from agentfleet.domain.model import Claimed, Settlement, StepKind
from agentfleet.domain.states import RunState, StepEvent
from agentfleet.telemetry import metrics


def attempt_ended(claimed: Claimed, done: Settlement) -> None:
    """An attempt has ended like this; whether it can be settled is another matter."""
    if done.event is StepEvent.SNOOZE:
        outcome = "waited"
    else:
        outcome = "ok" if done.verdict is None else f"{blame(done, claimed.kind)}_error"
    metrics.STEPS.labels(claimed.pool, claimed.kind.value, outcome).inc()


def run_ended(agent: str, kind: StepKind, done: Settlement) -> None:
    """A settlement was written: perhaps it has ended its run, or made it wait for a human."""
    if done.run_state is None:
        return
    _count_from_zero(agent)
    metrics.RUNS.labels(agent, done.run_state).inc()
    if done.run_state != RunState.SUCCEEDED:
        metrics.RUN_FAILURES.labels(agent, blame(done, kind).value).inc()


def run_was_ended(agent: str, state: RunState) -> None:
    """A run was ended from outside. That a human discards what needed review was counted when it began to."""
    _count_from_zero(agent)
    metrics.RUNS.labels(agent, state.value).inc()
    if state is RunState.EXPIRED:
        metrics.RUN_FAILURES.labels(agent, Blame.DEADLINE.value).inc()


@cache
def _count_from_zero(agent: str) -> None:
    """A counter that is first seen at 1 has not increased, to Prometheus."""
    for cause in Blame:
        metrics.RUN_FAILURES.labels(agent, cause.value)
