"""Steps of the model: what they take, and how long."""

from dataclasses import dataclass
from math import log, sqrt
from random import Random


@dataclass(slots=True)
class Step:
    """One step on its way. Times are seconds of the simulation."""

    ready_at: float
    """Since when it waits for a slot, this time."""
    seconds: float
    """How long it holds a slot."""
    calls: bool
    """Whether it is a model call, which needs room in the provider's bucket."""
    admitted: bool = False
    waited: float = 0.0
    """Seconds ready, all times together; waiting for the provider is not among them."""
    fence: int = 0
    """Raised by every start and every interruption: an end that was scheduled before is void."""


@dataclass(frozen=True, slots=True)
class Mix:
    """A share of the steps calls the model, the others call tools; log-normal times with these means in seconds.

    ``spread`` is the coefficient of variation: 0 makes every step alike.
    """

    calls: float = 0.5
    call_seconds: float = 10.0
    tool_seconds: float = 3.0
    spread: float = 0.8

    @property
    def mean(self) -> float:
        """Seconds of a step, on average."""
        return self.calls * self.call_seconds + (1 - self.calls) * self.tool_seconds

    def draw(self, now: float, random: Random) -> Step:
        """A new step."""
        calls = random.random() < self.calls
        mean = self.call_seconds if calls else self.tool_seconds
        if not self.spread:
            return Step(now, mean, calls)
        variance = log(1 + self.spread**2)
        return Step(now, random.lognormvariate(log(mean) - variance / 2, sqrt(variance)), calls)
