"""When steps arrive: a rate over time, drawn as a Poisson process, or a recording."""

import math
from collections.abc import Callable, Iterator
from random import Random

Shape = Callable[[float], float]
"""The factor of the base rate, at a time in seconds."""


def steady(at: float) -> float:
    """Always the same."""
    del at
    return 1.0


def spike(factor: float, since: float, until: float) -> Shape:
    """``factor`` times as much between two times."""
    return lambda at: factor if since <= at < until else 1.0


def diurnal(day: float, night: float = 0.1) -> Shape:
    """A day of ``day`` seconds: from ``night`` up to 1 and back."""
    return lambda at: night + (1 - night) * (1 - math.cos(2 * math.pi * at / day)) / 2


def poisson(rate: float, shape: Shape, duration: float, most: float, random: Random) -> Iterator[float]:
    """Times of arrivals, by thinning; ``most`` is the largest factor that ``shape`` has."""
    at = random.expovariate(rate * most)
    while at < duration:
        if random.random() * most < shape(at):
            yield at
        at += random.expovariate(rate * most)
