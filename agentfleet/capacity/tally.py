"""What was counted in one simulation."""

from dataclasses import dataclass, field
from math import exp

from agentfleet.capacity.work import Step

MEMORY = 60.0
"""Seconds of the smoothed rate of arrivals."""


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

    def ended(self, step: Step) -> None:
        """A step is settled."""
        self.done += 1
        self.held += step.seconds
        self.waits.append(step.waited)


@dataclass(slots=True)
class Rate:
    """Arrivals a second, smoothed as in ``store/sql/record_load.sql``: the last minute counts for two thirds.

    The newest arrivals are counted at the next look, since in the fleet they may not be committed yet.
    """

    value: float
    _counted: tuple[float, int] = (0.0, 0)
    _seen: tuple[float, int] = (0.0, 0)

    def look(self, now: float, arrived: int) -> None:
        """Take the measure of the arrivals so far."""
        (since, before), (until, count) = self._counted, self._seen
        if until > since:
            seconds = until - since
            self.value += ((count - before) / seconds - self.value) * (1 - exp(-seconds / MEMORY))
        self._counted, self._seen = self._seen, (now, arrived)
