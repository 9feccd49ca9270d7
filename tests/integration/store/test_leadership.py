"""Leadership: one process leads a duty, and for no longer than its connection lives."""

import asyncio

import pytest

from agentfleet.store import leadership
from agentfleet.store.database import FLEET_ROLE, DatabaseConfig
from agentfleet.store.leadership import Leadership
from tests.factories import execute

KILL = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE locktype = 'advisory' AND datname = current_database()
"""


@pytest.fixture
async def candidates(database_url):
    """Two processes that want the same duty."""
    config = DatabaseConfig(database_url, FLEET_ROLE, "test-leader")
    both = Leadership(config, "dispatch", asked_every=0.1), Leadership(config, "dispatch", asked_every=0.1)
    yield both
    for one in both:
        await one.release()


async def test_one_leads_and_the_other_waits(candidates):
    first, second = candidates
    assert [await first.held(), await second.held(), await first.held(), await second.held()] == [True, False] * 2


async def test_who_releases_lets_the_other_lead(candidates):
    first, second = candidates
    assert await first.held()
    await first.release()
    assert await second.held()
    assert not await first.held()


async def test_leadership_ends_with_the_connection(candidates, database_url):
    first, second = candidates
    assert await first.held()
    assert not await second.held()
    execute(database_url, KILL)
    assert not await first.held(), "it must notice"
    assert await second.held()
    assert not await first.held(), "and stay behind"


async def test_different_duties_have_different_leaders(database_url, candidates):
    other = Leadership(candidates[0]._config, "reconcile", asked_every=0.1)
    assert await candidates[0].held()
    assert await other.held()
    await other.release()


async def test_a_leader_without_a_database_does_not_lead():
    nowhere = Leadership(
        DatabaseConfig("postgresql://nobody@127.0.0.1:1/none", None, "test"), "dispatch", asked_every=0.1
    )
    assert not await nowhere.held()


async def test_who_stops_asking_loses_the_lead_although_its_connection_lives(candidates, monkeypatch):
    """A stopped process: its kernel goes on to acknowledge."""
    monkeypatch.setattr(leadership, "LEAST_SILENCE", 0.3)
    first, second = (Leadership(one._config, "dispatch", asked_every=0.1) for one in candidates)
    assert await first.held()
    async with asyncio.timeout(20):
        while not await second.held():
            assert first._connection is not None
    assert not await first.held()
    assert not await first.held()
    for one in (first, second):
        await one.release()
