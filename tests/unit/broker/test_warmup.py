"""Slow start: how the window of a new worker grows, and that a reconnect does not begin anew."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from kombu.common import QoS

from agentfleet.broker.warmup import FLOOR, SlowStart, WarmUp

CAPACITY = 2_000


class Hub:
    """A clock, and the timer of Celery's hub on it."""

    def __init__(self) -> None:
        self.now, self._due = 0.0, list[tuple[float, Callable[[], None]]]()

    def call_after(self, seconds: float, call: Callable[[], None]) -> None:
        self._due.append((self.now + seconds, call))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [one for one in self._due if one[0] <= end]:
            self.now, call = min(due, key=lambda one: one[0])
            self._due.remove((self.now, call))
            call()
        self.now = end


def warming(hub: Hub, capacity: int = CAPACITY, seconds: float = 10.0) -> WarmUp:
    return WarmUp(capacity, seconds, clock=lambda: hub.now)


def connect(hub: Hub, warm_up: WarmUp, running: int = 0) -> QoS:
    """A connection of the consumer, as Celery's own bootstep leaves it for ours; what runs already is taken off."""
    qos = QoS(lambda prefetch_count: prefetch_count, max(1, warm_up.capacity - running))
    consumer = SimpleNamespace(controller=SimpleNamespace(warm_up=warm_up), qos=qos, timer=hub)
    SlowStart(consumer).start(consumer)
    return qos


def test_a_new_worker_doubles_what_it_takes_until_it_takes_everything() -> None:
    hub = Hub()
    qos, seen = connect(hub, warming(hub)), []
    for _ in range(6):
        seen.append(qos.value)
        hub.pass_time(2.0)
    assert seen == [62, 125, 250, 500, 1_000, 2_000]


@pytest.mark.parametrize(("capacity", "first"), [(1, 1), (FLOOR, FLOOR), (50, FLOOR), (20_000, 625)])
def test_no_worker_is_too_cold_for_a_few_steps(capacity: int, first: int) -> None:
    hub = Hub()
    assert connect(hub, warming(hub, capacity)).value == first


def test_without_warm_up_a_worker_takes_everything_at_once() -> None:
    hub = Hub()
    assert connect(hub, warming(hub, seconds=0)).value == CAPACITY


def test_a_reconnect_goes_on_where_the_worker_was() -> None:
    hub = Hub()
    warm_up = warming(hub)
    connect(hub, warm_up)
    hub.pass_time(6.0)
    qos = connect(hub, warm_up, running=100)
    assert qos.value == 500 - 100
    qos.increment_eventually(100)  # what still ran on the earlier connection has ended
    hub.pass_time(4.0)
    assert qos.value == CAPACITY
    assert connect(hub, warm_up, running=100).value == CAPACITY - 100


def test_a_window_that_cannot_shrink_further_grows_by_no_more_than_it_gave() -> None:
    hub = Hub()
    qos = connect(hub, warming(hub), running=CAPACITY - 10)
    assert qos.value == 1, "a window of zero would be none at all"
    hub.pass_time(10.0)
    assert qos.value == 10


def test_a_worker_that_takes_nothing_yet_has_not_begun_to_warm_up() -> None:
    hub = Hub()
    warm_up = warming(hub)
    hub.pass_time(60.0)
    assert connect(hub, warm_up).value == 62
