"""The doorbell transport, through kombu's own connection: batched, bounded, and never stopped by garbage."""

import base64
import json
from queue import Empty

import pytest
from kombu import Connection, Consumer, Queue
from redis import Redis as SyncRedis

from agentfleet.broker import transport
from agentfleet.broker.envelope import envelope
from agentfleet.broker.names import STEP_TASK, UNREADABLE_TASK
from tests.integration.broker.test_publisher import bell

QUEUE = "test.steps"


@pytest.fixture
def broker(redis_url):
    """A consumer's connection and a plain client of the same Redis."""
    transport.register()
    with (
        Connection(transport.ALIAS + redis_url.removeprefix("redis")) as connection,
        SyncRedis.from_url(redis_url) as redis,
    ):
        yield connection, redis


def consume(connection, *, prefetch):
    """A consumer with a window, and the messages that it has received."""
    received = []
    channel = connection.default_channel
    channel.basic_qos(0, prefetch, False)
    consumer = Consumer(channel, [Queue(QUEUE)], on_message=received.append, accept=["json"])
    consumer.consume()
    return received


def drain(connection, received, *, until):
    while len(received) < until:
        connection.drain_events(timeout=10)


def test_one_pop_brings_many_messages_in_order_and_never_more_than_the_window(broker):
    connection, redis = broker
    for number in range(100):
        redis.lpush(QUEUE, envelope(bell(number), QUEUE))
    received = consume(connection, prefetch=10)
    drain(connection, received, until=10)
    assert [message.headers["id"][-2:] for message in received] == [f"{n:02d}" for n in range(10)]
    assert redis.llen(QUEUE) == 90, "the rest stays for other workers"
    for message in list(received):
        message.ack()
    drain(connection, received, until=20)
    assert redis.llen(QUEUE) == 80
    assert redis.keys("unacked*") == [], "nothing is kept about messages that were taken"


def test_an_empty_queue_raises_nothing_but_a_timeout(broker):
    connection, _ = broker
    consume(connection, prefetch=10)
    with pytest.raises((Empty, TimeoutError, OSError)):
        connection.drain_events(timeout=1.5)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe garbage",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"headers":{},"properties":{},"body":""}',
        b'{"headers":[],"properties":{"delivery_tag":"x"},"body":""}',
        b'{"headers":{},"properties":{"delivery_tag":"x","body_encoding":"base64"},"body":"%%%"}',
    ],
)
def test_what_cannot_be_read_arrives_as_a_message_about_it_and_stops_nobody(broker, raw):
    connection, redis = broker
    redis.lpush(QUEUE, raw)
    redis.lpush(QUEUE, envelope(bell(1), QUEUE))
    received = consume(connection, prefetch=10)
    drain(connection, received, until=2)
    assert [message.headers["task"] for message in received] == [UNREADABLE_TASK, STEP_TASK]
    assert received[0].body in (raw, raw.decode("latin-1")), "kept as it came"


def test_a_readable_message_is_taken_as_it_is():
    raw = envelope(bell(1), QUEUE)
    message = transport.readable(raw, QUEUE)
    assert message == json.loads(raw)
    assert json.loads(base64.b64decode(message["body"]))[0] == [bell(1).step_id]
