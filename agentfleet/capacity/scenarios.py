"""The loads that the simulator plays, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from agentfleet.capacity.arrivals import Shape, diurnal, poisson, spike, steady
from agentfleet.capacity.bucket import A_CALL, Limits
from agentfleet.capacity.work import Mix, Step
from agentfleet.domain.errors import InvalidInput

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load: ``rate`` steps a second times ``shape``, whose largest factor is ``most``, for ``duration`` seconds."""

    name: str
    about: str
    rate: float
    duration: float
    shape: Shape = steady
    most: float = 1.0
    mix: Mix = field(default_factory=Mix)
    limits: Limits | None = None
    announced: tuple[float, float, float] | None = None
    recorded: Sequence[float] | None = None
    """Times of arrivals in seconds from the begin, in place of ``rate`` and ``shape``."""

    def arrivals(self, random: Random) -> Iterator[float]:
        """When steps arrive that no other step has asked for."""
        if self.recorded is not None:
            return iter(self.recorded)
        return poisson(self.rate * self.mix.calls, self.shape, self.duration, self.most, random)

    def draw(self, now: float, random: Random) -> Step:
        """One that arrives: a model call with its tool calls; a recorded step is of either kind, and its own."""
        return self.mix.step(now, random) if self.recorded is not None else self.mix.call(now, random)

    @property
    def first_rate(self) -> float:
        """Steps a second at the begin: the fleet has the pods for it already."""
        if self.recorded is None:
            return self.rate * self.shape(0.0)
        return sum(at < MINUTE for at in self.recorded) / min(MINUTE, self.duration)


def recorded(times: Sequence[float], duration: float | None = None) -> Scenario:
    """Arrivals as they were. Raises ``InvalidInput`` for a duration that ends before the first one."""
    length = duration or max(times[-1], MINUTE)
    kept = [at for at in times if at < length]
    if not kept:
        raise InvalidInput("duration", f"{length:g} s ends before the first arrival")
    return Scenario("recorded", f"{len(kept):,} recorded steps", len(kept) / length, length, recorded=kept)


def named(name: str, rate: float | None = None, duration: float | None = None) -> Scenario:
    """A scenario of the list, with a base rate and a duration of one's own."""
    return _MAKERS[name](rate, duration)


def _steady(rate: float | None, duration: float | None) -> Scenario:
    return Scenario("steady", "the same load all the time", rate or 20.0, duration or 30 * MINUTE)


def _spike(name: str, factor: float, rate: float | None, duration: float | None) -> Scenario:
    """A sixth of the time as usual, then ``factor`` times as much for a third, then as usual again."""
    length = duration or 30 * MINUTE
    shape = spike(factor, length / 6, length / 2)
    return Scenario(name, f"{factor:g} times the load for a third of the time", rate or 20.0, length, shape, factor)


def _announced(rate: float | None, duration: float | None) -> Scenario:
    """The same, and `agentfleet capacity expect` has told of it: known two minutes before."""
    plain = _spike("announced10x", 10.0, rate, duration)
    known = (plain.duration / 6 - 2 * MINUTE, plain.duration / 2, plain.rate * 10)
    about = "10 times the load for a third of the time, and somebody said so before"
    return Scenario(plain.name, about, plain.rate, plain.duration, plain.shape, plain.most, announced=known)


def _diurnal(rate: float | None, duration: float | None) -> Scenario:
    length = duration or 60 * MINUTE
    about = "a day from a tenth to all and back, in an hour unless told otherwise"
    return Scenario("diurnal", about, rate or 200.0, length, diurnal(length))


def _provider_bound(rate: float | None, duration: float | None) -> Scenario:
    """Room for five times the base rate of calls: a spike meets the provider's limits, not the fleet's."""
    plain = _spike("provider-bound", 10.0, rate or 40.0, duration or 15 * MINUTE)
    call = A_CALL
    a_minute = plain.rate * plain.mix.calls * 5 * 60
    limits = Limits((a_minute * 1.5, a_minute * call[1], a_minute * call[2] * 1.5), call)
    about = "10 times the load, of which the provider answers a half"
    return Scenario(plain.name, about, plain.rate, plain.duration, plain.shape, plain.most, limits=limits)


_MAKERS: Mapping[str, Callable[[float | None, float | None], Scenario]] = {
    "steady": _steady,
    "spike10x": lambda rate, duration: _spike("spike10x", 10.0, rate, duration),
    "spike5x": lambda rate, duration: _spike("spike5x", 5.0, rate, duration),
    "announced10x": _announced,
    "diurnal": _diurnal,
    "provider-bound": _provider_bound,
}
NAMES = tuple(_MAKERS)
