"""Real servers for every test: one Postgres and one Redis per test process, a fresh database per test.

``AGENTFLEET_TEST_DATABASE_URL`` and ``AGENTFLEET_TEST_REDIS_URL`` point the suite at servers of your own.
"""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo
from redis.asyncio import Redis
from sqlalchemy.engine import make_url

from agentfleet.dev.embedded import Urls, servers
from agentfleet.store import migrate
from agentfleet.store.database import APP_ROLE, FLEET_ROLE, Database, DatabaseConfig
from tests.proxy import Proxy, proxied

# No deadline and no complaint about slowness: a busy machine is not a broken rule.
settings.register_profile(
    "rules", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("rules")

CLOCK = """
CREATE TABLE test_clock (ahead interval NOT NULL);
INSERT INTO test_clock VALUES ('0');
GRANT SELECT, UPDATE ON test_clock TO agentfleet_app, agentfleet_fleet;
CREATE OR REPLACE FUNCTION agentfleet_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS 'SELECT now() + (SELECT ahead FROM test_clock)';
"""
"""Tests own the database's clock: it runs as usual, ``ahead`` of the real one."""

_numbers = itertools.count(1)


def with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def server_urls() -> Iterator[Urls]:
    """One Postgres and one Redis for this test process."""
    given = os.environ.get("AGENTFLEET_TEST_DATABASE_URL"), os.environ.get("AGENTFLEET_TEST_REDIS_URL")
    with servers(Path(".agentfleet"), *given, ephemeral=True) as urls:
        yield urls


@pytest.fixture(scope="session")
def template(server_urls: Urls) -> str:
    """The name of a migrated database that tests are copied from."""
    name = f"agentfleet_template_{os.getpid()}"
    with psycopg.connect(server_urls.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = with_database(server_urls.database_url, name)
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCK)
    return name


@pytest.fixture
def database_url(server_urls: Urls, template: str) -> Iterator[str]:
    """A fresh, migrated database; the URL's user owns it."""
    name = f"agentfleet_test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server_urls.database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(  # twice as fast here, to drop as well
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield with_database(server_urls.database_url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def redis(server_urls: Urls) -> AsyncIterator[Redis]:
    """An empty Redis."""
    async with Redis.from_url(server_urls.redis_url) as client:
        await client.flushall()
        yield client


@pytest.fixture
def redis_url(server_urls: Urls, redis: Redis) -> str:
    """The URL of an empty Redis."""
    return server_urls.redis_url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """The database as workers, dispatcher and reconciler see it."""
    database = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-fleet", pool_size=4))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def app_db(database_url: str) -> AsyncIterator[Database]:
    """The database as the ingress sees it: bound to one tenant per transaction."""
    database = Database(DatabaseConfig(database_url, APP_ROLE, "test-app", pool_size=4))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A way to the database that loses connections when it is told to."""
    async with proxied(database_url) as proxy:
        yield proxy


@pytest.fixture
async def far_db(proxy: Proxy) -> AsyncIterator[Database]:
    """The database through the proxy, on one connection."""
    database = Database(DatabaseConfig(proxy.url, FLEET_ROLE, "test-far", pool_size=1))
    await database.open()
    yield database
    await database.close()


class Clock:
    """The database's clock in a test."""

    def __init__(self, url: str) -> None:
        self._conninfo = make_conninfo(url)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass for every statement."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute("UPDATE test_clock SET ahead = ahead + make_interval(secs => %s)", (seconds,))


@pytest.fixture
def clock(database_url: str) -> Clock:
    return Clock(database_url)
