"""A Redis that drops keys is refused; one that cannot be asked is not."""

from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from structlog.testing import capture_logs

from agentfleet.broker import eviction
from agentfleet.cli.checks.redis import check_redis
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings


@pytest.fixture
async def evicting(redis: Redis):
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    yield redis
    await redis.config_set("maxmemory-policy", eviction.KEEPING)


async def test_a_redis_that_keeps_everything_is_welcome(redis: Redis, redis_url: str) -> None:
    with capture_logs() as logs:
        await eviction.refuse_eviction(redis)
    assert logs == []
    assert {one.check: one.level for one in check_redis(Settings(redis_url=redis_url))}["eviction"] == "ok"


async def test_a_redis_that_evicts_is_refused_with_the_remedy(evicting: Redis, redis_url: str) -> None:
    with pytest.raises(InvalidInput, match=r"allkeys-lru.*CONFIG SET maxmemory-policy noeviction"):
        await eviction.refuse_eviction(evicting)
    [found] = [one for one in check_redis(Settings(redis_url=redis_url)) if one.check == "eviction"]
    assert (found.level, found.do) == ("fail", eviction.REMEDY)


async def test_who_may_not_ask_is_warned(redis: Redis, redis_url: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "-info")
    url = urlsplit(redis_url)
    async with Redis.from_url(f"redis://narrow:secret@{url.hostname}:{url.port}/0") as narrow:
        with capture_logs() as logs:
            await eviction.refuse_eviction(narrow)
    await redis.execute_command("ACL", "DELUSER", "narrow")
    assert [line["event"] for line in logs] == ["eviction_unknown"]


async def test_a_redis_that_is_away_refuses_nobody(unused_tcp_port: int) -> None:
    async with Redis(port=unused_tcp_port, retry=Retry(NoBackoff(), 0)) as nowhere:
        with capture_logs() as logs:
            await eviction.refuse_eviction(nowhere)
    assert [line["event"] for line in logs] == ["eviction_unknown"]
