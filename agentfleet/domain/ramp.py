"""How fast a pool's size may change: up in steps, down late and slowly.

The rules are those of a HorizontalPodAutoscaler (https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/),
so that a pool behaves alike under Kubernetes and without: a tolerance, a stabilisation window for going down, and a
largest change per period. Up is capped since the provider refuses use that grows too fast; down is slow since a worker
that goes interrupts what it cannot finish in time, and since what has just ended often comes back.
"""

from dataclasses import dataclass

from agentfleet.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Ramp:
    """The largest change of a size. Durations in seconds."""

    up_factor: float = 2.0
    up_workers: int = 4
    """Up to ``up_factor`` times as many, or so many more, whichever is more, ..."""
    up_every: float = 30.0
    """... within this time."""
    down_share: float = 0.1
    """At most this share less (one worker at least) ..."""
    down_every: float = 60.0
    """... within this time, ..."""
    stabilise: float = 300.0
    """... and never below what was wanted at any time within this window."""
    tolerance: float = 0.1
    """A change by less than this share is none."""

    def __post_init__(self) -> None:
        if self.up_factor < 1 or self.up_workers < 1 or not 0 <= self.down_share <= 1 or not 0 <= self.tolerance < 1:
            problem = f"{self} must let a pool grow: factor and workers from 1 on, shares between 0 and 1"
            raise InvalidInput("ramp", problem)


Sizes = tuple[tuple[float, int], ...]
"""Times with the size that holds from then on, in order."""


@dataclass(frozen=True, slots=True)
class ScaleState:
    """What is remembered from one decision to the next; empty before the first. Times are seconds of one clock."""

    desired: int | None = None
    at: float = 0.0
    sizes: Sizes = ()
    """What was desired, as far back as a period reaches."""
    wanted: Sizes = ()
    """What no ramp and no window had slowed down, within the window: only what no later one exceeds, so they fall."""


def follow(target: int, floor: int, ceiling: int, ramp: Ramp, state: ScaleState, now: float) -> ScaleState:
    """One step towards ``target`` workers; at least ``floor`` and at most ``ceiling``, both at once."""
    last = floor if state.desired is None else state.desired
    wanted = (*((at, size) for at, size in state.wanted if now - ramp.stabilise < at and size > target), (now, target))
    size = target if target >= last else min(last, wanted[0][1])
    if abs(size - last) <= ramp.tolerance * last and size != ceiling:
        size = last
    sizes = state.sizes or ((now, last),)
    lowest = min(size for _, size in _since(sizes, now - ramp.up_every))
    highest = max(size for _, size in _since(sizes, now - ramp.down_every))
    size = min(size, max(int(lowest * ramp.up_factor), lowest + ramp.up_workers))
    size = max(size, highest - max(int(highest * ramp.down_share), 1))
    size = max(min(size, ceiling), floor)
    changed = sizes if size == last else (*sizes, (now, size))
    return ScaleState(size, now, _since(changed, now - max(ramp.up_every, ramp.down_every)), wanted)


def _since(sizes: Sizes, time: float) -> Sizes:
    """What held at ``time`` and after it."""
    later = next((place for place, (at, _) in enumerate(sizes) if at > time), len(sizes))
    return sizes[max(later - 1, 0) :]
