"""How many workers a pool should have: as many as its work can use and the provider can answer.

Little's law (L = λ·S) says how many slots steps hold that arrive at a rate and take a time; what already waits is
spread over the drain time:

    work  = (max(arrivals·S, forecast·S, running) + waiting·min(S / drain, 1)) · (1 + headroom)
    slots = min(work, what the provider can answer)
    workers = slots / concurrency, within the minimum and the maximum, changed no faster than ``ramp.py`` allows

What runs is L itself, at this moment: the rate of arrivals is smoothed, and lags behind a load that grows at once.
More slots than the provider can answer would only turn waiting into refusals, so then ``binding`` says ``provider``:
more quota helps, more workers do not. Pure: no clock, no database; the HTTP endpoint, the local autoscaler and the
capacity simulator all call ``decide``.
"""

from dataclasses import dataclass, field
from math import ceil, inf
from typing import Literal

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.ramp import Ramp, ScaleState, follow

__all__ = ["Binding", "Decision", "Load", "Ramp", "ScalePolicy", "ScaleState", "decide", "work_slots"]

Binding = Literal["work", "provider", "max", "min"]
"""What decides the size: the work; the provider's capacity; the maximum; the warm minimum."""
LEAST_DRAIN = 0.25
"""The share of the drain time within which a backlog is to be drained whose oldest step has waited for all of it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has to do. Steps, unless another unit is given."""

    ready: int
    """Wait for a slot: ready, or dispatched and not yet claimed."""
    running: int
    """Hold a slot."""
    due: int = 0
    """Waited for a time that has come: they are ready in a moment."""
    arrivals: float = 0.0
    """A second, over the last minutes."""
    step_seconds: float = 10.0
    """For how long a step holds a slot, on average."""
    oldest_ready: float = 0.0
    """Seconds since the oldest of ``ready`` could have begun."""
    forecast: float = 0.0
    """Arrivals a second that are expected soon: the same hour of last week, announced events. 0: nothing is known."""
    provider_slots: float | None = None
    """How many slots the provider's limits can keep busy; ``None``: unknown or without limits."""


@dataclass(frozen=True, slots=True)
class ScalePolicy:
    """What is wanted of a pool."""

    concurrency: int
    """Slots per worker."""
    min_workers: int = 1
    max_workers: int = 10
    headroom: float = 0.4
    """The share of slots on top, since work comes in bursts: 0.3 is calm, 0.5 is bursty."""
    drain_target: float = 30.0
    """Seconds within which a backlog should have begun."""
    ramp: Ramp = field(default_factory=Ramp)

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.drain_target <= 0 or self.headroom < 0:
            problem = f"{self} needs a concurrency from 1 on, a drain target above 0 and a headroom from 0 on"
            raise InvalidInput("policy", problem)
        if not 0 <= self.min_workers <= self.max_workers or self.max_workers < 1:
            problem = f"must be at most max_workers, {self.max_workers}, which must be 1 at least"
            raise InvalidInput("min_workers", f"is {self.min_workers}, and {problem}")


@dataclass(frozen=True, slots=True)
class Decision:
    """``workers`` is the size to have at this moment, ``slots`` what work and provider allow, without a ramp."""

    workers: int
    slots: float
    demand: int
    """Steps that want a slot or hold one: ready + running + due."""
    binding: Binding
    reason: str
    state: ScaleState


def decide(load: Load, policy: ScalePolicy, state: ScaleState, now: float) -> Decision:
    """How many workers the pool should have ``now`` (seconds of the clock of ``state``).

    Never above the maximum. Never above what the provider can answer (its last worker may be used in part), except for
    the warm minimum, one worker for any work at all (somebody has to find out when the provider answers again), and
    what runs: nobody interrupts a step to obey a limit that the step has already passed.
    """
    work = work_slots(load, policy)
    provider = inf if load.provider_slots is None else max(load.provider_slots, 1.0)
    slots = min(work, provider)
    floor = min(max(policy.min_workers, _workers(load.running, policy)), policy.max_workers)
    ceiling = min(policy.max_workers, max(floor, _workers(provider, policy)))
    target = max(min(_workers(slots, policy), ceiling), floor)
    followed = follow(target, floor, ceiling, policy.ramp, state, now)
    workers = floor if followed.desired is None else followed.desired
    binding = _binding(work, slots, policy)
    reason = _reason(binding, load, policy, work) + _under_way(workers, target, policy)
    return Decision(workers, slots, load.ready + load.running + load.due, binding, reason, followed)


def work_slots(load: Load, policy: ScalePolicy) -> float:
    """The slots that the work could use, if nothing limited them. A waiting step uses one at most."""
    left = max(policy.drain_target - load.oldest_ready, policy.drain_target * LEAST_DRAIN)
    arriving = max(load.arrivals, load.forecast) * load.step_seconds
    waiting = (load.ready + load.due) * min(load.step_seconds / left, 1.0)
    return (max(arriving, float(load.running)) + waiting) * (1 + policy.headroom)


def _workers(slots: float, policy: ScalePolicy) -> int:
    return policy.max_workers if slots == inf else ceil(slots / policy.concurrency - 1e-9)


def _binding(work: float, slots: float, policy: ScalePolicy) -> Binding:
    if _workers(slots, policy) > policy.max_workers:
        return "max"
    if slots < work:
        return "provider"
    return "min" if _workers(work, policy) < policy.min_workers else "work"


def _reason(binding: Binding, load: Load, policy: ScalePolicy, work: float) -> str:
    steps = f"Steps: {load.ready + load.due} wait, {load.running} run"
    if binding == "provider":
        return f"The work could use {work:.0f} slots, the provider can answer {load.provider_slots or 0:.0f}"
    if binding == "max":
        return f"The work could use {_workers(work, policy)} workers, the maximum is {policy.max_workers}"
    if binding == "min":
        return f"{steps}; kept warm: {policy.min_workers}"
    if load.forecast > load.arrivals:
        return f"{steps}, {load.forecast:.3g} a second are expected"
    return f"{steps}, {load.arrivals:.3g} a second came of late"


def _under_way(workers: int, target: int, policy: ScalePolicy) -> str:
    if workers < target * (1 - policy.ramp.tolerance):
        return f"; on the way up to {target} workers."
    if workers > target * (1 + policy.ramp.tolerance):
        return f"; on the way down to {target} workers."
    return "."
