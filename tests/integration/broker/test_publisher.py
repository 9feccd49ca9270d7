"""Publishing waits for nobody: one pipeline for many messages, and a broken Redis is counted, never raised."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from agentfleet.broker import names
from agentfleet.broker import publisher as publishing
from agentfleet.broker.publisher import RedisPublisher
from tests.integration.broker.conftest import QUEUE, bell
from tests.scripted import until


def failures() -> float:
    return REGISTRY.get_sample_value("agentfleet_publish_failures_total") or 0.0


async def commands(redis: Redis, name: str) -> int:
    """How often the server has run a command."""
    stats = await redis.info("commandstats")
    return stats.get(f"cmdstat_{name}", {}).get("calls", 0)


@pytest.fixture
async def nobody(unused_tcp_port: int) -> AsyncIterator[RedisPublisher]:
    """A publisher whose Redis is not there."""
    async with Redis(port=unused_tcp_port, retry=None) as redis:
        yield RedisPublisher(redis, prefix="agentfleet")


async def test_many_messages_are_one_push_per_pool_in_order(publisher: RedisPublisher, redis: Redis) -> None:
    before = await commands(redis, "lpush")
    here = [bell() for _ in range(100)]
    there = [bell(pool="gpu") for _ in range(3)]
    await publisher.publish([*here, *there])
    await publisher.flush()
    assert await commands(redis, "lpush") - before == 2
    raw = await redis.lrange(QUEUE, 0, -1)  # pyright: ignore[reportGeneralTypeIssues]
    assert [json.loads(one)["headers"]["id"] for one in reversed(raw)] == [one.step_id for one in here]
    assert await redis.llen(names.queue("agentfleet", "gpu")) == 3  # pyright: ignore[reportGeneralTypeIssues]


async def test_callers_that_publish_at_once_share_a_pipeline(publisher: RedisPublisher, redis: Redis) -> None:
    before = await commands(redis, "lpush")
    await asyncio.gather(*(publisher.publish([bell()]) for _ in range(50)))
    await publisher.flush()
    assert await commands(redis, "lpush") - before == 1


async def test_any_number_of_wakes_is_one_element(publisher: RedisPublisher, redis: Redis) -> None:
    for _ in range(3):
        await publisher.wake("default")
        await publisher.wake("gpu")
        await publisher.flush()
    for pool in ("default", "gpu"):
        assert await redis.llen(names.wake("agentfleet", pool)) == 1  # pyright: ignore[reportGeneralTypeIssues]


async def test_revocations_reach_who_listens(publisher: RedisPublisher, redis: Redis) -> None:
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(names.revoke("agentfleet"))
        await pubsub.get_message(timeout=5)
        await publisher.revoke(["a", "b"])
        await publisher.revoke(["c"])
        heard: list[str] = []

        async def all_heard() -> bool:
            message = await pubsub.get_message(timeout=5)
            heard.extend(message["data"].decode().split() if message else [])
            return heard == ["a", "b", "c"]

        await until(all_heard, "the revocations are heard")


async def test_a_redis_that_is_not_there_is_counted_and_never_raised(nobody: RedisPublisher) -> None:
    before = failures()
    await nobody.publish([bell(), bell()])
    await nobody.wake("default")
    await nobody.revoke(["a"])
    await nobody.flush()
    assert failures() - before == 2
    await nobody.publish([bell()])
    await nobody.flush()
    assert failures() - before == 3, "it tries again with the next ones"


async def test_it_knows_whether_a_queue_is_empty_or_that_it_does_not_know(
    publisher: RedisPublisher, nobody: RedisPublisher
) -> None:
    assert await publisher.empty("default")
    await publisher.publish([bell()])
    await publisher.flush()
    assert not await publisher.empty("default")
    assert not await nobody.empty("default")


async def test_connections_of_before_a_restart_lose_nothing(publisher: RedisPublisher, redis: Redis) -> None:
    before = failures()
    await publisher.publish([bell()])
    await publisher.flush()
    await redis.client_kill_filter(_type="normal", skipme=False)
    await publisher.publish([bell()])
    await publisher.flush()
    assert failures() == before
    assert await redis.llen(QUEUE) == 2  # pyright: ignore[reportGeneralTypeIssues]


async def test_more_than_fits_is_counted_and_dropped(
    nobody: RedisPublisher, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_PENDING", 2)
    before = failures()
    await nobody.publish([bell() for _ in range(5)])
    assert failures() - before == 3
    await nobody.flush()
    assert failures() - before == 5


async def test_a_redis_that_hangs_delays_the_end_only_so_long(publisher: RedisPublisher, redis: Redis) -> None:
    await redis.client_pause(60_000, all=False)  # writes
    try:
        await publisher.publish([bell()])
        await publisher.flush(within=0.1)
    finally:
        await redis.client_unpause()
    await publisher.flush()
    assert await redis.llen(QUEUE) == 1  # pyright: ignore[reportGeneralTypeIssues]
