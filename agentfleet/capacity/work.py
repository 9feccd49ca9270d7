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
    due: float = 0.0
    """When the provider would have had room for it, had there been endless slots: before that no worker is missed."""
    then: "tuple[Step, ...]" = ()
    """What it asks for: ready when it has ended."""
    fence: int = 0
    """Raised by every start and every interruption: an end that was scheduled before is void."""

    def age(self, now: float) -> float:
        """For how long it has missed a worker, when it begins ``now``."""
        return min(self.waited, max(now - self.due, 0.0))


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

    def step(self, now: float, random: Random) -> Step:
        """A step of either kind, by itself."""
        return self._draw(now, random, calls=random.random() < self.calls)

    def call(self, now: float, random: Random) -> Step:
        """A model call, and the tool calls that it asks for."""
        tools = (1 - self.calls) / self.calls
        count = int(tools) + (random.random() < tools % 1)
        call = self._draw(now, random, calls=True)
        call.then = tuple(self._draw(now, random, calls=False) for _ in range(count))
        return call

    def _draw(self, now: float, random: Random, *, calls: bool) -> Step:
        mean = self.call_seconds if calls else self.tool_seconds
        if not self.spread:
            return Step(now, mean, calls)
        variance = log(1 + self.spread**2)
        return Step(now, random.lognormvariate(log(mean) - variance / 2, sqrt(variance)), calls)
