"""Slow start: a new worker takes a few steps first, and twice as many after every fifth of its warm-up.

A worker that a scale-up has brought has no connections yet, and caches that are empty. If it pulled its whole capacity
at once, all of these calls would open connections at the same moment and ask for the same prompts before the first one
has warmed them. So it does what load balancers do with a new server, "slow start". What it does not take is taken by
its neighbours, or waits in the queue: nothing is refused.

A reconnect does not begin anew: the worker is warm by then.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps

DOUBLINGS = 5
"""A worker starts with a 32nd of its capacity."""
FLOOR = 16
"""Steps that no worker is too cold for."""


class WarmUp:
    """How many of its ``capacity`` steps a worker may hold. ``seconds`` until it is all of them; 0: at once."""

    def __init__(self, capacity: int, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity, self.seconds, self._clock = capacity, seconds, clock
        self._begun: float | None = None

    def begin(self) -> None:
        """The worker takes steps from now on; only the first time counts."""
        if self._begun is None:
            self._begun = self._clock()

    @property
    def window(self) -> int:
        """Steps that may be in flight at this moment."""
        passed = 0.0 if self._begun is None else self._clock() - self._begun
        if passed >= self.seconds:
            return self.capacity
        left = DOUBLINGS - math.floor(DOUBLINGS * passed / self.seconds)
        return min(self.capacity, max(FLOOR, self.capacity >> left))


class SlowStart(bootsteps.StartStopStep):
    """Holds back a part of the consumer's prefetch window, and gives it free as the worker warms up."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Once per connection, before it delivers anything. The hub's thread calls ``adjust``, as it does the window's
        other changes; it goes on with this connection's window until that is whole.
        """
        warm_up: WarmUp = parent.controller.warm_up
        warm_up.begin()
        qos, held_back = parent.qos, 0

        def adjust() -> None:
            nonlocal held_back
            back = warm_up.capacity - warm_up.window
            if back > held_back:
                held_back += qos.value - qos.decrement_eventually(back - held_back)
            elif back < held_back:
                qos.increment_eventually(held_back - back)
                held_back = back
            if back:
                parent.timer.call_after(warm_up.seconds / DOUBLINGS / 2, adjust)

        adjust()
