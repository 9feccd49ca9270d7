"""Why a run is waiting: what of it moves next, what that waits for, and when it may go on.

A run is explained by its foremost open step: a running one (then it does not wait), else one that is on its way to a
worker, else one in the queue, else the first that is due, else one that was given up on. Estimates are estimates: the
start is what admission or the due date says, or position over recent pace; the finish is what the agent's recent runs
took, given how long this one has been at it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from agentfleet.domain.model import StepKind
from agentfleet.domain.states import BLOCKED_ON, RunState, StepState

MOST = 10_000
"""Positions are counted up to here: this many, or more."""
LONGEST_REASON = 300
"""Characters of an error that a sentence quotes."""


class WaitsFor(StrEnum):
    """What a run may wait for beside what ``blocked_on`` of a run may say."""

    QUEUE = "queue"
    """Its turn in its pool's backlog."""
    WORKER = "worker"
    """Its message is under way; nobody has claimed it."""
    REVIEW = "review"
    """A human's decision about a dead letter."""
    RESUME = "resume"
    """It is paused."""


class Order(StrEnum):
    """What gives those that wait for the same their places."""

    QUEUE = "queue"
    """The dispatcher, which takes turns between tenants."""
    WORKER = "worker"
    """The times at which their messages were sent."""
    BUCKET = "bucket"
    """Admission, by the tenants' weights."""


WAITS_FOR = (*(one.value for one in WaitsFor), *BLOCKED_ON)

DETAILS: Mapping[str, str] = MappingProxyType(
    {
        WaitsFor.QUEUE: "{step} waits for its turn in the queue of pool {pool}.",
        WaitsFor.WORKER: "{step} is on its way to a worker of pool {pool}.",
        WaitsFor.REVIEW: "{step} was given up on, replay or discard its dead letter{because}",
        WaitsFor.RESUME: "The run is paused.",
        "timer": "{step} tries {call} again after {failures}{because}",
        "bucket": "{step} waits for room in the provider's rate limit {bucket}.",
        "provider": "{step} waits for the provider{because}",
        "concurrency": "{step} waits until fewer of its kind run.",
        "tenant_share": "{step} waits until the tenant uses less than its share.",
        "budget": "{step} waits for a larger budget{because}",
        "approval": "{step} waits for somebody to approve {call}.",
        "signal": "{step} waits for a signal.",
        "children": "{step} waits for the runs that it started.",
        "batch": "{step} waits for the batch in which {call} is called.",
        "deploy": "{step} waits for a deploy that knows {call}{because}",
    }
)
"""``bucket`` is ``provider`` when one of its limits has no room, and the provider itself has refused nothing."""


@dataclass(frozen=True, slots=True)
class Foremost:
    """The step that explains a run, as it was at ``now`` on the database's clock. ``error`` is JSON text."""

    state: StepState
    kind: str
    name: str
    seq: int
    pool: str
    attempt: int
    blocked_on: str | None
    bucket: str | None
    error: str | None
    due: datetime | None
    since: datetime
    step_id: str
    now: datetime

    @property
    def order(self) -> Order | None:
        """In which order it will be served; ``None``: in none."""
        match self.state:
            case StepState.READY:
                return Order.QUEUE
            case StepState.DISPATCHED:
                return Order.WORKER
            case StepState.WAITING if self.bucket is not None:
                return Order.BUCKET
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Pace:
    """Of late: ``claims`` of the pool per second, ``batch`` seconds from sending a batch to its end."""

    claims: float | None = None
    batch: float | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """When half and nine tenths of comparable runs would have finished."""

    p50: datetime
    p90: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """``position`` counts from 1 among those that wait for the same; none where there is no order."""

    blocked_on: str
    detail: str
    since: datetime
    position: int | None = None
    expected_start: datetime | None = None
    expected_finish: Expected | None = None


def explain(
    run_state: RunState,
    step: Foremost,
    *,
    started_at: datetime | None = None,
    position: int | None = None,
    pace: Pace = Pace(),
    durations: Sequence[float] = (),
) -> Waiting | None:
    """Why the run waits; ``None`` while something of it runs.

    ``position`` is the step's in its ``order``; ``durations``: seconds from start to end of the agent's recent runs
    that succeeded.
    """
    if step.state is StepState.RUNNING:
        return None
    what = _what(run_state, step)
    start = _start(what, step, position, pace)
    finish = None if start is None else _finish(start, step.now, started_at, durations)
    return Waiting(what, _detail(what, step), step.since, position, start, finish)


def remaining(durations: Sequence[float], elapsed: float, quantile: float) -> float | None:
    """Seconds that a run which has lasted ``elapsed`` still takes, by those that lasted longer; ``None``: none did."""
    longer = sorted(seconds - elapsed for seconds in durations if seconds > elapsed)
    return longer[min(int(quantile * len(longer)), len(longer) - 1)] if longer else None


def _what(run_state: RunState, step: Foremost) -> str:
    if run_state is RunState.PAUSED:
        return WaitsFor.RESUME.value
    match step.state:
        case StepState.READY:
            return WaitsFor.QUEUE.value
        case StepState.DISPATCHED:
            return WaitsFor.WORKER.value
        case StepState.WAITING:
            return step.blocked_on or "timer"  # of code that did not say
        case _:
            return WaitsFor.REVIEW.value


def _start(what: str, step: Foremost, position: int | None, pace: Pace) -> datetime | None:
    match what:
        case WaitsFor.RESUME | WaitsFor.REVIEW | "budget" | "approval" | "signal" | "children":
            return None  # somebody else decides
        case WaitsFor.QUEUE | WaitsFor.WORKER:
            if position is None or not pace.claims:
                return None
            return step.now + timedelta(seconds=position / pace.claims)
        case "batch":
            return None if pace.batch is None else max(step.now, step.since + timedelta(seconds=pace.batch))
        case _:
            return None if step.due is None else max(step.now, step.due)


def _finish(start: datetime, now: datetime, started_at: datetime | None, durations: Sequence[float]) -> Expected | None:
    elapsed, base = (0.0, start) if started_at is None else ((now - started_at).total_seconds(), now)
    half, most = (remaining(durations, elapsed, quantile) for quantile in (0.5, 0.9))
    if half is None or most is None:
        return None
    return Expected(max(start, base + timedelta(seconds=half)), max(start, base + timedelta(seconds=most)))


def _detail(what: str, step: Foremost) -> str:
    error: dict[str, Any] = json.loads(step.error) if step.error else {}
    said = " ".join(str(error.get("message", "")).split())[:LONGEST_REASON]
    room = step.bucket is not None and error.get("class") in {
        None,
        "provider_busy",
    }  # else the provider's words say more
    key = "bucket" if what == "provider" and room else what
    return DETAILS[key].format(
        step=f"Step {step.seq}",
        call=f"the {'model' if step.kind == StepKind.REASON else 'tool'} {step.name}",
        pool=step.pool,
        bucket=step.bucket,
        failures=f"{step.attempt} failed attempt{'' if step.attempt == 1 else 's'}",
        because=f": {said}" if said else "",
    )
