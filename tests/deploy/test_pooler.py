"""PgBouncer in transaction mode: every transaction may have another session, and none leaves anything behind in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from sqlalchemy import text

from agentfleet import bootstrap, failpoints
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings
from agentfleet.store import migrate
from agentfleet.store.database import APP_ROLE, FLEET_ROLE, Database, DatabaseConfig
from agentfleet.store.leadership import Leadership
from agentfleet.store.pooler import shares_sessions
from agentfleet.store.statements import Statement
from tests.acceptance.fleet import until
from tests.deploy.bouncer import Bouncer, bouncer

WHO = Statement(
    "test_who",
    "SELECT pg_backend_pid(), current_user::text, current_setting('agentfleet.tenant_id', true),"
    " current_setting('lock_timeout'), %(nothing)s::text",
)
failpoints.POINTS.pop("test_who")  # no statement of ours: the sweep need not reach it
OF_THE_SESSION = (
    "SELECT current_user::text, current_setting('agentfleet.tenant_id', true), current_setting('lock_timeout')"
)


@pytest.fixture
def pooled(database_url: str) -> Iterator[Bouncer]:
    """One session of Postgres for everybody."""
    with bouncer(database_url, default_pool_size=1) as made:
        yield made


@pytest.fixture
async def databases(pooled: Bouncer) -> AsyncIterator[tuple[Database, Database]]:
    """The fleet's and the ingress', on the same session."""
    both = [Database(DatabaseConfig(pooled.url, role, "test-pooled", pool_size=2)) for role in (FLEET_ROLE, APP_ROLE)]
    for one in both:
        await one.open()
    yield both[0], both[1]
    for one in both:
        await one.close()


async def test_roles_tenants_and_limits_end_with_their_transaction(databases, pooled) -> None:
    fleet, app = databases
    sessions = set()
    for _ in range(3):
        [(session, role, tenant, limit, _)] = await app.fetch_as("acme", WHO, {"nothing": None})
        assert (role, tenant, limit) == (APP_ROLE, "acme", "2s")
        sessions.add(session)
        [(session, role, tenant, limit, _)] = await fleet.fetch(WHO, {"nothing": None})
        assert (role, tenant or None, limit) == (FLEET_ROLE, None, "2s")
        sessions.add(session)
        async with app.reading("globex") as connection:
            row = (await connection.execute(text(OF_THE_SESSION))).one()
            assert tuple(row) == (APP_ROLE, "globex", "2s")
        async with fleet.reading() as connection:
            assert (await connection.execute(text(OF_THE_SESSION))).one()[0] == FLEET_ROLE
        with psycopg.connect(pooled.url, autocommit=True) as stranger:
            role, tenant, limit = stranger.execute(OF_THE_SESSION).fetchone() or ()
            assert (role, tenant or None, limit) == (psycopg.conninfo.conninfo_to_dict(pooled.url)["user"], None, "0")
    assert len(sessions) == 1, "they shared one session"


async def test_a_cancelled_statement_ends_on_the_server_and_no_other_does(database_url) -> None:
    slow = Statement("test_slow", "SELECT pg_advisory_xact_lock(%(key)s)::text")
    with bouncer(database_url, default_pool_size=2) as pooled, psycopg.connect(database_url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(1), pg_advisory_lock(2)")
        db = Database(DatabaseConfig(pooled.url, FLEET_ROLE, "test-pooled", pool_size=2))
        await db.open()
        given_up, patient = (asyncio.create_task(db.fetch(slow, {"key": key})) for key in (1, 2))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: holder.execute(waiting).fetchone() == (2,), "both wait")
        given_up.cancel()
        await until(lambda: holder.execute(waiting).fetchone() == (1,), "one was cancelled")
        holder.execute("SELECT pg_advisory_unlock_all()")
        await patient
        await db.close()


async def test_only_a_session_of_its_own_can_be_led_from(pooled, database_url) -> None:
    def candidate(**urls: str) -> Leadership:
        return Leadership(DatabaseConfig(role=FLEET_ROLE, application_name="test", **urls), "dispatch", asked_every=0.1)

    with pytest.raises(
        InvalidInput, match=r"AGENTFLEET_DATABASE_DIRECT_URL: 127.0.0.1:.* a pooler in transaction mode"
    ):
        await candidate(url=pooled.url).held()
    with pytest.raises(InvalidInput, match="AGENTFLEET_DATABASE_DIRECT_URL"):
        bootstrap.check(Settings(database_url=pooled.url, redis_url="redis://none"), leads=True)
    first, second = (candidate(url=pooled.url, direct_url=database_url) for _ in range(2))
    assert [await first.held(), await second.held()] == [True, False]
    for one in (first, second):
        await one.release()


def test_a_migration_is_refused_where_its_lock_would_be_left_behind(pooled, database_url) -> None:
    with pytest.raises(InvalidInput, match="AGENTFLEET_DATABASE_DIRECT_URL"):
        migrate.upgrade(pooled.url)
    migrate.upgrade(database_url)


def test_sessions_are_told_apart_from_shared_ones(pooled, database_url) -> None:
    assert shares_sessions(pooled.url)
    assert not shares_sessions(database_url)
    with bouncer(database_url, pool_mode="session") as faithful:
        assert not shares_sessions(faithful.url)


async def test_a_pooler_that_keeps_prepared_statements_may_be_trusted_with_them(database_url, monkeypatch) -> None:
    """Only this side of it: PgBouncer 1.22 and newer keep them, and Debian 12 has 1.18."""
    monkeypatch.setattr(
        "agentfleet.store.connection.SET_SESSION", b"SELECT $1::text[], $2::text[], $3::int WHERE false"
    )
    for trusted, prepared in ((True, 1), (False, 0)):
        config = DatabaseConfig(database_url, FLEET_ROLE, "test-prepares", 1, pooler_prepares=trusted)
        db = Database(config)
        await db.open()
        counted = Statement("test_prepared", "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ %(like)s")
        for _ in range(2):
            [(found,)] = await db.fetch(counted, {"like": "pg_prepared_statements"})
        assert found == prepared
        await db.close()
