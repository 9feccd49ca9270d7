"""The watchdog: what it takes for life, what for an excuse, and what for deafness."""

import asyncio
import itertools

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from agentfleet.broker.watchdog import CONDEMNED_AFTER, Watchdog

QUEUE = "agentfleet.steps.default"


def watchdog(redis: Redis, *pops: int, patience: float = 0.1) -> Watchdog:
    """Hears these numbers, and then the last one again and again."""
    heard = itertools.chain(pops, itertools.repeat(pops[-1]))
    return Watchdog(redis, QUEUE, pops=heard.__next__, patience=patience)


def counting(redis: Redis, patience: float = 0.1) -> Watchdog:
    return Watchdog(redis, QUEUE, pops=itertools.count().__next__, patience=patience)


def never() -> bool:
    return False


async def test_who_pops_an_empty_queue_is_alive(redis: Redis) -> None:
    one = counting(redis)
    assert [await one.look(never) for _ in range(3)] == [True] * 3


async def test_who_pops_nothing_is_silent(redis: Redis) -> None:
    one = watchdog(redis, 5)
    assert [await one.look(never) for _ in range(3)] == [False] * 3


async def test_who_pops_while_the_next_message_stays_is_silent(redis: Redis) -> None:
    one = counting(redis)
    await redis.rpush(QUEUE, "first")
    assert await one.look(never), "it may have come this moment"
    await redis.lpush(QUEUE, "second")
    assert not await one.look(never)
    await redis.rpop(QUEUE)
    assert await one.look(never)
    assert not await one.look(never)


async def test_who_waits_for_redis_is_excused(unused_tcp_port: int) -> None:
    async with Redis(port=unused_tcp_port, retry=Retry(NoBackoff(), 0)) as nowhere:
        one = watchdog(nowhere, 5)
        assert [await one.look(never) for _ in range(3)] == [True] * 3


async def test_who_waits_for_a_full_redis_to_have_room_is_excused(redis: Redis) -> None:
    one = watchdog(redis, 5)
    await redis.config_set("maxmemory", 1)
    full = [await one.look(never) for _ in range(3)]
    await redis.config_set("maxmemory", 0)
    assert full == [True] * 3
    assert not await one.look(never)
    assert await redis.keys() == [], "asking leaves nothing behind"


async def test_who_has_no_room_is_excused(redis: Redis) -> None:
    assert await watchdog(redis, 5).look(lambda: True)


async def test_deafness_is_told_and_unhealthy(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    one = watchdog(redis, 5, patience=0.02)
    assert one.healthy()
    for _ in range(CONDEMNED_AFTER):
        await one.deaf(never)
    assert not one.healthy()
    assert REGISTRY.get_sample_value("agentfleet_consumer_silence_ratio") == 1


async def test_who_drains_for_longer_than_it_may_be_silent_is_healthy(redis: Redis) -> None:
    one = watchdog(redis, 5, patience=0.02)
    asked = asyncio.Event()

    def excused() -> bool:
        asked.set()
        return False

    watching = asyncio.create_task(one.deaf(excused))
    await asked.wait()
    watching.cancel()
    await asyncio.wait([watching])
    assert watching.cancelled()
    for _ in range(CONDEMNED_AFTER):
        await one.deaf(never)
    assert one.healthy()
