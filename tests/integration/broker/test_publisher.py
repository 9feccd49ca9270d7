"""What is pushed to Redis, and what happens when Redis is not there."""

import json

import pytest
from redis.asyncio import Redis

from agentfleet.broker import names
from agentfleet.broker.deltas import RedisDeltas
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.domain.model import Doorbell
from agentfleet.telemetry import metrics
from tests.scripted import until

PREFIX = "test"


def bell(number: int, pool: str = "default") -> Doorbell:
    return Doorbell(f"01a1fdda-59f4-740f-8684-{number:012d}", "run", pool, "agent", "reason", "model", number, 1)


@pytest.fixture
def publisher(redis: Redis) -> RedisPublisher:
    return RedisPublisher(redis, prefix=PREFIX)


async def test_messages_go_to_the_queue_of_their_pool_in_order(redis, publisher):
    await publisher.publish([bell(1), bell(2), bell(3, "other")])
    await publisher.publish([bell(4)])
    await publisher.flush()
    popped = await redis.rpop(names.queue(PREFIX, "default"), 10)
    assert [json.loads(raw)["headers"]["id"][-1] for raw in popped] == ["1", "2", "4"], "the oldest is popped first"
    assert await redis.llen(names.queue(PREFIX, "other")) == 1


async def test_a_dispatcher_is_woken_once_however_many_ask(redis, publisher):
    for _ in range(50):
        await publisher.wake("default")
    await publisher.flush()
    await publisher.wake("default")
    await publisher.flush()
    assert await redis.llen(names.wake(PREFIX, "default")) == 1


async def test_workers_hear_which_steps_to_stop(redis, publisher):
    async with redis.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(names.revoke(PREFIX))
        await heard.get_message(timeout=5)
        await publisher.revoke(["a", "b"])
        await publisher.flush()
        message = await heard.get_message(timeout=5)
    assert message is not None
    assert message["data"] == b"a b"


async def test_a_dead_redis_raises_nothing_and_is_counted():
    gone = Redis(port=1, socket_connect_timeout=0.1)
    publisher = RedisPublisher(gone, prefix=PREFIX)
    before = metrics.PUBLISH_FAILURES._value.get()
    await publisher.publish([bell(1), bell(2)])
    await publisher.wake("default")
    await publisher.flush()
    assert metrics.PUBLISH_FAILURES._value.get() == before + 2
    await gone.aclose()


async def test_deltas_flow_only_while_somebody_listens(redis):
    deltas = RedisDeltas(redis, prefix=PREFIX)
    heard, unheard = deltas.writer("heard", "step-1"), deltas.writer("unheard", "step-2")
    await redis.set(names.listeners(PREFIX, "heard"), "1")

    async def speak():
        heard("a")
        unheard("a")
        return await redis.xlen(names.deltas(PREFIX, "heard"))

    await until(speak, "a delta arrived")
    [(_, entry), *_] = await redis.xrange(names.deltas(PREFIX, "heard"))
    delta = json.loads(entry[b"d"])
    assert delta["step_id"] == "step-1"
    assert set(delta["text"]) == {"a"}
    assert not await redis.exists(names.deltas(PREFIX, "unheard"))
    assert 0 < await redis.ttl(names.deltas(PREFIX, "heard")) <= 300, "a stream nobody reads must not stay"
    await deltas.close()
