"""Seats on the connections of one process."""

import asyncio
import resource
from collections.abc import Iterator

import pytest
import structlog

from agentfleet.provider import connections as module
from agentfleet.provider.connections import Connections, Seat
from agentfleet.provider.limits import SPARE_FILES, Limits, NoneFree, connections_for
from agentfleet.telemetry import metrics

HOST, OTHER = "one.example", "two.example"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_SECONDS", 0.01)


@pytest.fixture
def warnings() -> Iterator[list[dict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


async def seats(connections: Connections, count: int, host: str = HOST) -> list[Seat]:
    return [await connections.take(host) for _ in range(count)]


def gauge(state: str) -> float:
    return metrics.PROVIDER_CONNECTIONS.labels(state)._value.get()


async def test_there_are_never_more_busy_connections_than_the_limit_and_the_refusal_names_it():
    connections = Connections(Limits(3))
    taken = await seats(connections, 3)
    with pytest.raises(NoneFree, match="3 of AGENTFLEET_PROVIDER_POOL_SIZE=3"):
        await connections.take(HOST)
    taken[0].leave()
    await connections.take(OTHER)
    assert connections.busy == 3


async def test_one_host_cannot_take_what_is_left_for_others():
    connections = Connections(Limits(3, per_host=2))
    await seats(connections, 2)
    with pytest.raises(NoneFree, match="AGENTFLEET_PROVIDER_POOL_PER_HOST=2"):
        await connections.take(HOST)
    await connections.take(OTHER)
    with pytest.raises(NoneFree):
        await connections.take(OTHER)  # the total is reached
    assert connections.busy == 3


async def test_who_waits_gets_the_next_free_seat(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "QUEUE_SECONDS", 60)
    connections = Connections(Limits(1))
    [seat] = await seats(connections, 1)
    waiting = asyncio.create_task(connections.take(HOST))
    await asyncio.sleep(0)
    assert not waiting.done()
    seat.leave()
    await waiting
    assert connections.busy == 1


async def test_who_gives_up_waiting_leaves_nothing_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "QUEUE_SECONDS", 60)
    connections = Connections(Limits(1))
    [seat] = await seats(connections, 1)
    waiting = asyncio.create_task(connections.take(OTHER))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    seat.leave()
    await connections.take(OTHER)
    assert connections.busy == 1


async def test_a_seat_can_be_left_twice_and_is_free_once():
    connections = Connections(Limits(2))
    first, _ = await seats(connections, 2)
    first.leave()
    first.leave()
    assert connections.busy == 1
    await connections.take(HOST)
    with pytest.raises(NoneFree):
        await connections.take(HOST)


async def test_the_gauge_tells_how_many_are_busy_and_how_many_there_are():
    before = gauge("busy")
    connections = Connections(Limits(7))
    taken = await seats(connections, 2)
    assert (gauge("busy") - before, gauge("limit")) == (2, 7)
    for seat in taken:
        seat.leave()
    assert gauge("busy") == before


async def test_nearly_full_is_said_once_for_each_crossing_and_not_for_each_call(warnings: list[dict]):
    connections = Connections(Limits(10))
    taken = await seats(connections, 7)
    assert warnings == []
    taken += await seats(connections, 3)
    crossing = {"event": "provider_pool_nearly_full", "log_level": "warning", "busy": 8, "limit": 10}
    assert warnings == [crossing]
    taken.pop().leave()
    taken.pop().leave()
    taken.pop().leave()
    taken += await seats(connections, 1)  # to and fro around the mark is no news
    assert warnings == [crossing]
    for seat in taken[:4]:
        seat.leave()
    await seats(connections, 4)
    assert warnings == [crossing, crossing]


def test_there_is_a_connection_for_each_step_if_the_open_files_allow_it(monkeypatch: pytest.MonkeyPatch):
    for files, expected in ((resource.RLIM_INFINITY, 2_000), (65_536, 2_000), (1_024, 1_024 - SPARE_FILES), (100, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=files: (soft, soft))
        assert connections_for(2_000) == expected
