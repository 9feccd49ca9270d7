"""Messages are popped many at a time, in order, never more than there is room for; nothing of them is kept."""

import json
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from redis import Redis as SyncRedis

from agentfleet.broker.app import make_app
from agentfleet.broker.envelope import envelope
from agentfleet.broker.names import UNREADABLE_TASK
from agentfleet.broker.transport import ALIAS, BATCH, QoS, Transport, readable, receive_rest
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings
from tests.integration.broker.conftest import QUEUE, bell


class Taker:
    """A consumer with a prefetch window."""

    def __init__(self, app: Celery, connection: Connection, window: int) -> None:
        self.taken: list[Any] = []
        self.connection = connection
        self.consumer = app.amqp.TaskConsumer(connection)
        self.consumer.on_message = self.taken.append
        self.consumer.qos(prefetch_count=window)
        self.consumer.consume()

    @property
    def ids(self) -> list[str]:
        return [message.headers["id"] for message in self.taken]

    def drain(self) -> None:
        """Take until there is nothing more, or no room."""
        while self.consumer.channel.qos.can_consume():
            try:
                self.connection.drain_events(timeout=0.2)
            except TimeoutError:
                return


def push(list_: SyncRedis, count: int) -> list[str]:
    bells = [bell() for _ in range(count)]
    list_.lpush(QUEUE, *(envelope(one, QUEUE) for one in bells))
    return [one.step_id for one in bells]


@pytest.mark.parametrize("window", [1, 3, BATCH + 5])
def test_no_more_is_popped_than_there_is_room_for(
    app: Celery, connection: Connection, list_: SyncRedis, window: int
) -> None:
    ids = push(list_, window + 10)
    taker = Taker(app, connection, window)
    taker.drain()
    assert taker.ids == ids[:window]
    assert list_.llen(QUEUE) == 10
    taker.taken[0].ack()
    taker.drain()
    assert taker.ids == ids[: window + 1]


def test_the_order_is_that_of_the_publishing_and_one_round_trip_brings_many(
    app: Celery, connection: Connection, list_: SyncRedis
) -> None:
    ids = push(list_, BATCH)
    taker = Taker(app, connection, 1_000)
    connection.drain_events(timeout=5)
    assert taker.ids == ids


def test_nothing_is_kept_about_messages_and_nothing_comes_back(
    app: Celery, connection: Connection, list_: SyncRedis
) -> None:
    push(list_, 3)
    taker = Taker(app, connection, 10)
    taker.drain()
    assert isinstance(taker.consumer.channel.qos, QoS)
    taker.taken[0].reject(requeue=True)
    connection.close()
    assert list_.keys("*unacked*") == []
    assert list_.llen(QUEUE) == 0


def test_messages_that_are_on_their_way_are_received_before_the_end(
    app: Celery, connection: Connection, list_: SyncRedis
) -> None:
    taker = Taker(app, connection, 10)
    channel = taker.consumer.channel
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.01)  # a pop is under way now
    ids = push(list_, 2)
    assert list_.llen(QUEUE) == 0, "the server has handed them over"
    receive_rest(channel)
    assert taker.ids == ids
    receive_rest(channel)


GOOD = json.loads(envelope(bell(), QUEUE))


def changed(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


NO_MESSAGES: dict[str, bytes] = {
    "bytes": b"\xff\xfe\x00 not even text",
    "text": b"hello",
    "a number": b"17",
    "a list": b"[]",
    "an empty object": b"{}",
    "null": b"null",
    "headers that are none": changed(headers=None),
    "headers that are a list": changed(headers=[]),
    "a task that is no name": changed(headers={"task": ["agentfleet.step"]}),
    "no properties": changed(properties=None),
    "no delivery tag": changed(properties={"body_encoding": "base64"}),
    "a delivery tag that is a number": changed(properties={"delivery_tag": 1, "body_encoding": "base64"}),
    "a body that is no base64": changed(body="???"),
    "a body that is a number": changed(body=5),
    "no body": json.dumps({k: v for k, v in GOOD.items() if k != "body"}).encode(),
    "an encoding that nobody knows": changed(properties={"delivery_tag": "x", "body_encoding": "rot13"}),
    "deep nesting": b"[" * 5_000,
}


@pytest.mark.parametrize("raw", NO_MESSAGES.values(), ids=NO_MESSAGES.keys())
def test_what_is_no_message_becomes_one_that_says_so(
    app: Celery, connection: Connection, list_: SyncRedis, raw: bytes
) -> None:
    list_.lpush(QUEUE, raw)
    taker = Taker(app, connection, 10)
    connection.drain_events(timeout=5)
    [message] = taker.taken
    assert message.headers["task"] == UNREADABLE_TASK
    assert message.body == raw


def test_a_message_is_read_as_it_is() -> None:
    one = bell()
    assert readable(envelope(one, QUEUE), QUEUE)["headers"]["id"] == one.step_id


def test_the_url_chooses_the_transport(redis_url: str) -> None:
    with make_app(Settings(redis_url=redis_url)) as app, app.connection_for_read() as connection:
        assert isinstance(connection.transport, Transport)
        assert connection.as_uri().startswith(ALIAS)
    with make_app(Settings(redis_url=redis_url, transport="redis")) as app, app.connection_for_read() as connection:
        assert not isinstance(connection.transport, Transport)


def test_without_a_url_there_is_no_app() -> None:
    with pytest.raises(InvalidInput, match="AGENTFLEET_REDIS_URL"):
        make_app(Settings(redis_url=None))
