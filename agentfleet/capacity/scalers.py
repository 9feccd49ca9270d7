"""Who says how many pods there should be: agentfleet's own decision, and the two usual ways beside it."""

import math
from dataclasses import dataclass, field
from typing import Protocol

from agentfleet.capacity.fleet import Fleet
from agentfleet.capacity.pods import Phase
from agentfleet.capacity.tally import Rate
from agentfleet.capacity.work import Mix
from agentfleet.domain.scaling import Load, ScalePolicy, ScaleState, decide

EVERY = 5.0
"""Seconds between two decisions, and between two looks at the load, as ``engine/autoscale.py`` has it."""
CPU_TARGET = 0.7
"""The utilisation that a HorizontalPodAutoscaler is usually told to keep."""


class Scaler(Protocol):
    """Asked once per polling interval."""

    admits: bool
    """Whether its fleet asks for room in the provider's bucket before it calls."""

    def look(self, fleet: Fleet, now: float) -> None:
        """Take the measure of the load, every five seconds."""
        ...

    def wanted(self, fleet: Fleet, now: float) -> float:
        """Pods that there should be."""
        ...


@dataclass(slots=True)
class Admissible:
    """agentfleet: ``domain.scaling.decide``, with what ``/internal/autoscale`` knows."""

    policy: ScalePolicy
    mix: Mix
    rate: Rate
    provider_slots: float | None
    announced: tuple[float, float, float] | None = None
    """An expected event: known from this time, until that one, steps a second."""
    admits: bool = True
    _state: ScaleState = field(default_factory=ScaleState)
    _last: float = 0.0

    def look(self, fleet: Fleet, now: float) -> None:
        self.rate.look(now, fleet.tally.arrived)

    def wanted(self, fleet: Fleet, now: float) -> float:
        if self._state.desired is not None and now - self._state.at < EVERY:
            return self._last
        load = Load(
            ready=len(fleet.ready),
            running=fleet.running,
            due=0 if self.provider_slots is None else fleet.waiting,
            arrivals=self.rate.value,
            step_seconds=fleet.tally.held / fleet.tally.done if fleet.tally.done else self.mix.mean,
            oldest_ready=now - fleet.ready[0].ready_at if fleet.ready else 0.0,
            forecast=self._forecast(now),
            provider_slots=self.provider_slots,
        )
        decision = decide(load, self.policy, self._state, now)
        self._state, self._last = decision.state, float(decision.workers)
        return self._last

    def _forecast(self, now: float) -> float:
        if self.announced is None:
            return 0.0
        since, until, rate = self.announced
        return rate if since <= now < until else 0.0


@dataclass(slots=True)
class QueueLength:
    """The usual way with KEDA: as many pods as hold what waits in the list. What runs is not seen."""

    policy: ScalePolicy
    admits: bool = False

    def look(self, fleet: Fleet, now: float) -> None: ...

    def wanted(self, fleet: Fleet, now: float) -> float:
        del now
        return max(float(self.policy.min_workers), math.ceil(len(fleet.ready) / self.policy.concurrency))


@dataclass(slots=True)
class Cpu:
    """The usual way without KEDA: keep the pods' CPU at 70 % of a core."""

    admits: bool = False
    _before: tuple[float, float] = (0.0, 0.0)

    def look(self, fleet: Fleet, now: float) -> None: ...

    def wanted(self, fleet: Fleet, now: float) -> float:
        at, spent = self._before
        self._before = (now, fleet.tally.cpu_seconds)
        serving = max(fleet.count(Phase.SERVING), 1)
        used = (fleet.tally.cpu_seconds - spent) / (now - at) if now > at else CPU_TARGET * serving
        return used / CPU_TARGET
