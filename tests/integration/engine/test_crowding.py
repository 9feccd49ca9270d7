"""A worker that runs out of connections to the provider tells a human, until it has room again."""

import pytest

from agentfleet.engine.crowding import Crowding
from agentfleet.provider.connections import Connections, Seat
from agentfleet.provider.limits import Limits
from agentfleet.store import alerts
from agentfleet.store.database import Database

WORKER = "host:7"


@pytest.fixture
def crowding(db: Database) -> Crowding:
    return Crowding(db, WORKER)


@pytest.fixture
def connections(crowding: Crowding) -> Connections:
    return Connections(Limits(10), crowding)


async def take(connections: Connections, count: int) -> list[Seat]:
    return [await connections.take("provider.example") for _ in range(count)]


async def told(crowding: Crowding) -> None:
    if crowding._telling is not None:
        await crowding._telling


async def messages(db: Database) -> dict[tuple[str, str], str]:
    return {(alert.kind, alert.subject): alert.message for alert in await alerts.listed(db, resolved=False, limit=10)}


async def test_the_alert_opens_at_four_fifths_and_ends_when_there_is_room(db, crowding, connections):
    seats = await take(connections, 7)
    await told(crowding)
    assert await messages(db) == {}
    seats += await take(connections, 1)
    await told(crowding)
    message = (await messages(db))["connections_80", WORKER]
    assert "8 of its 10 connections" in message
    assert "AGENTFLEET_PROVIDER_POOL_SIZE" in message
    for seat in seats[:2]:
        seat.leave()
    await told(crowding)
    assert await messages(db) == {}


async def test_an_alert_ends_with_its_worker(db, crowding, connections):
    await take(connections, 10)
    await told(crowding)
    assert await messages(db)
    await crowding.close()
    assert await messages(db) == {}


async def test_a_crowd_that_is_over_before_it_is_told_is_no_alert_in_the_end(db, crowding, connections):
    for seat in await take(connections, 10):
        seat.leave()
    await told(crowding)
    assert await messages(db) == {}


async def test_without_a_database_the_worker_goes_on(crowding, connections, db):
    await db.close()
    seats = await take(connections, 10)
    await told(crowding)
    assert connections.busy == len(seats)
