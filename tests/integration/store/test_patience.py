"""Nobody waits for ever: not for a peer that says nothing, not for a row, not for a server that undoes what it was told."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from agentfleet.store import connection, database, statements
from agentfleet.store.database import FLEET_ROLE, LOST_CONNECTION, UNAVAILABLE, Database, DatabaseConfig
from agentfleet.store.leadership import Leadership
from tests.chaos.link import Link
from tests.factories import execute, submit
from tests.scripted import until


@pytest.fixture
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(database, "GRACE", 0.2)
    monkeypatch.setattr(database, "CHECK_WITHIN", 0.2)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 1)


@pytest.fixture
async def far(database_url, impatient) -> AsyncIterator[tuple[Database, Link]]:
    """A database behind a network that can fall silent."""
    with Link(database_url) as link:
        config = DatabaseConfig(link.url, FLEET_ROLE, "test-far", pool_size=2, statement_timeout=0.3, patience=30)
        db = Database(config)
        await db.open()
        yield db, link
        link.heal()
        await db.close()


async def test_a_statement_that_nobody_answers_is_given_up_and_the_pool_recovers(far) -> None:
    db, link = far
    async with db.reading() as reading:
        await reading.exec_driver_sql("SELECT 1")
    link.blackhole()
    with pytest.raises(LOST_CONNECTION, match="no answer within"):
        await db.fetch(statements.COUNT_STEPS, {})
    with pytest.raises(UNAVAILABLE):
        async with db.reading() as reading:
            await reading.exec_driver_sql("SELECT 1")
    link.heal()
    assert await db.fetch(statements.COUNT_STEPS, {}) == []


async def test_a_transaction_that_nobody_answers_is_given_up(far) -> None:
    db, link = far
    link.blackhole()
    with pytest.raises(LOST_CONNECTION):
        await db.fetch_as("acme", statements.COUNT_STEPS, {})
    link.heal()
    assert await db.fetch_as("acme", statements.COUNT_STEPS, {}) == []


async def test_who_cannot_ask_whether_it_leads_does_not_lead(far) -> None:
    db, link = far
    leadership = Leadership(db.config, "dispatch", asked_every=0.1)
    assert await leadership.held()
    link.blackhole()
    assert not await leadership.held()
    link.heal()
    await leadership.release()


async def test_a_caller_that_is_cancelled_while_the_pool_looks_at_its_connections_takes_none_along(
    database_url, monkeypatch
) -> None:
    looking, go_on, look = asyncio.Event(), asyncio.Event(), database.Pool.check_connection

    async def gated(conn: connection.Connection) -> None:
        looking.set()
        await go_on.wait()
        await look(conn)

    monkeypatch.setattr(database.Pool, "check_connection", staticmethod(gated))
    db = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-cancelled", pool_size=3))
    await db.open()

    async def full() -> bool:
        return db._pool.get_stats()["pool_available"] == 3

    await until(full, "the pool is full")
    execute(
        database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-cancelled'"
    )
    losing = asyncio.create_task(db.fetch(statements.COUNT_STEPS, {}))
    await looking.wait()
    losing.cancel()
    await asyncio.wait([losing])
    go_on.set()
    await until(full, "the pool is full again")
    await db.close()


UNDO = """
CREATE SEQUENCE test_undone;
GRANT ALL ON test_undone TO agentfleet_fleet;
CREATE FUNCTION test_undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('test_undone') < {times} THEN RAISE EXCEPTION USING ERRCODE = '{error}'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER test_undo AFTER INSERT ON runs FOR EACH STATEMENT EXECUTE FUNCTION test_undo();
"""


@pytest.mark.parametrize("error", ["deadlock_detected", "serialization_failure"])
async def test_a_statement_that_was_undone_for_another_is_run_again(db, database_url, error) -> None:
    execute(database_url, UNDO.format(times=database.TRIES, error=error))
    await submit(db)
    assert execute(database_url, "SELECT count(*) FROM runs") == [(1,)]


async def test_a_statement_that_is_always_undone_is_given_up(db, database_url) -> None:
    execute(database_url, UNDO.format(times=1_000, error="deadlock_detected"))
    with pytest.raises(LOST_CONNECTION):
        await submit(db)
    assert execute(database_url, "SELECT last_value FROM test_undone") == [(database.TRIES,)]


async def test_a_row_that_is_held_is_waited_for_two_seconds(db, database_url) -> None:
    run = await submit(db)
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM runs FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await db.fetch_locked(statements.LOCK_RUNS, statements.COUNT_STEPS, {"run_id": [run.run_id]})


async def test_a_read_only_server_is_unavailable_on_either_path(db, database_url) -> None:
    execute(database_url, "ALTER ROLE agentfleet SET default_transaction_read_only = on")
    read_only = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-read-only", pool_size=1))
    try:
        await read_only.open()
        with pytest.raises(LOST_CONNECTION):
            await submit(read_only)
        with pytest.raises(UNAVAILABLE):
            async with read_only.reading() as writing:
                await writing.exec_driver_sql("DELETE FROM runs")
    finally:
        await read_only.close()
        with psycopg.connect(database_url, autocommit=True, options="-c default_transaction_read_only=off") as mending:
            mending.execute("ALTER ROLE agentfleet RESET default_transaction_read_only")
    await submit(db)
