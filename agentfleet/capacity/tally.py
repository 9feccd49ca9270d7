"""What was counted in one simulation."""

from collections import deque
from dataclasses import dataclass, field

from agentfleet.capacity.work import Step

LOOK_BACK = 120.0
"""Seconds over which the rate of arrivals is taken."""


@dataclass(slots=True)
class Tally:
    """Steps since the begin; ``waits`` are the seconds for which each step that ended had been ready."""

    arrived: int = 0
    starts: int = 0
    done: int = 0
    interrupted: int = 0
    cpu_seconds: float = 0.0
    held: float = 0.0
    """Seconds of slots that steps which ended had used."""
    waits: list[float] = field(default_factory=list[float])

    def ended(self, step: Step, now: float) -> None:
        """A step is settled."""
        del now
        self.done += 1
        self.held += step.seconds
        self.waits.append(step.waited)


@dataclass(slots=True)
class Rate:
    """Arrivals a second over the last ``LOOK_BACK`` seconds, from the running count."""

    _seen: deque[tuple[float, int]] = field(default_factory=lambda: deque([(0.0, 0)]))

    def at(self, now: float, arrived: int) -> float:
        """The rate, as a poll sees it."""
        self._seen.append((now, arrived))
        while len(self._seen) > 2 and self._seen[1][0] <= now - LOOK_BACK:
            self._seen.popleft()
        since, before = self._seen[0]
        return (arrived - before) / (now - since) if now > since else 0.0
