"""The ground that all acceptance tests of one process stand on, and each test's fleet."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from redis.asyncio import Redis

from agentfleet import bootstrap
from agentfleet.dev.embedded import Urls
from agentfleet.dev.valkey import EmbeddedRedis
from agentfleet.settings import Settings
from agentfleet.simulator.serve import background
from tests.acceptance.fleet import Fleet, Ground
from tests.conftest import with_database


@pytest.fixture(scope="session")
def ground(server_urls: Urls, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A database, a Redis that may be killed, a simulator, a dispatcher and a reconciler."""
    name = f"agentfleet_acceptance_{secrets.token_hex(4)}"
    directory = tmp_path_factory.mktemp("ground")
    redis = EmbeddedRedis(directory, durable=False)
    with ExitStack() as stack:
        admin = stack.enter_context(psycopg.connect(server_urls.database_url, autocommit=True))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        stack.callback(admin.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        stack.callback(redis.stop)
        simulator = stack.enter_context(background())
        made = Ground(with_database(server_urls.database_url, name), redis, simulator, directory)
        stack.callback(made.stop)
        made.start_duties()
        yield made


@pytest.fixture
async def fleet(ground: Ground, tmp_path: Path) -> AsyncIterator[Fleet]:
    """No worker yet, no runs, an empty Redis."""
    ground.simulator.simulator.reset()
    async with Redis.from_url(ground.redis_url) as client:
        await client.flushall()
    settings = Settings(database_url=ground.database_url, redis_url=ground.redis_url)
    async with bootstrap.ingress(settings) as ingress:
        made = Fleet(ground, ingress, tmp_path)
        try:
            yield made
        finally:
            made.close()
