"""What is seen of a simulation, once a second; and the figures that it is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentfleet.capacity.tally import Tally

WINDOW = 600.0
"""Direction changes are counted within ten minutes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One second. Pods unless named otherwise."""

    at: float
    oldest_ready: float
    ready: int
    running: int
    waiting: int
    """Steps that wait for the provider."""
    demand: float
    """Pods whose slots the steps that are ready or running would fill."""
    desired: float
    """What the scaler said last."""
    target: int
    """What the HorizontalPodAutoscaler has asked for."""
    serving: int
    paid: int
    """All that exist: starting and draining ones, too."""
    cap: float | None
    """Pods that the provider's limits can keep busy."""
    refused: int
    """429s since the begin."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The outcome of a simulation."""

    steps: int
    done: int
    p50_ready_age_s: float
    p95_ready_age_s: float
    p99_ready_age_s: float
    oldest_ready_s: float
    max_seconds_above_provider_cap: float
    direction_changes_per_10min: int
    interrupted_fraction: float
    refused_429: int
    most_pods: int
    pod_hours: float
    cost: float
    cost_per_hour: float


def figures(samples: Sequence[Sample], tally: Tally, pending: Sequence[float], *, least: int, price: float) -> Figures:
    """``pending``: for how long each step has been ready that still is. ``price`` is of a pod for an hour."""
    waits = sorted([*tally.waits, *pending])
    hours = sum(sample.paid for sample in samples) / 3600
    length = len(samples) / 3600
    return Figures(
        steps=tally.arrived,
        done=tally.done,
        p50_ready_age_s=_quantile(waits, 0.50),
        p95_ready_age_s=_quantile(waits, 0.95),
        p99_ready_age_s=_quantile(waits, 0.99),
        oldest_ready_s=max((sample.oldest_ready for sample in samples), default=0.0),
        max_seconds_above_provider_cap=_above_cap(samples, least),
        direction_changes_per_10min=_direction_changes(samples),
        interrupted_fraction=tally.interrupted / tally.starts if tally.starts else 0.0,
        refused_429=samples[-1].refused if samples else 0,
        most_pods=max((sample.paid for sample in samples), default=0),
        pod_hours=hours,
        cost=hours * price,
        cost_per_hour=hours * price / length if length else 0.0,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _above_cap(samples: Sequence[Sample], least: int) -> float:
    """The longest time in a row with more pods than the provider can keep busy. The warm minimum is no excess, nor is
    the part of a last pod.
    """
    longest = since = 0.0
    for before, sample in pairwise(samples):
        above = sample.cap is not None and sample.serving > max(least, -(-sample.cap // 1))
        since = since + sample.at - before.at if above else 0.0
        longest = max(longest, since)
    return longest


def _direction_changes(samples: Sequence[Sample]) -> int:
    """The most turns from growing to shrinking or back within any ten minutes, of what was asked for."""
    turns, last = list[float](), 0
    for before, sample in pairwise(samples):
        direction = (sample.target > before.target) - (sample.target < before.target)
        if direction and last and direction != last:
            turns.append(sample.at)
        last = direction or last
    return max((sum(at <= turn < at + WINDOW for turn in turns) for at in turns), default=0)
