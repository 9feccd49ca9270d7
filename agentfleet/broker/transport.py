"""The doorbell transport: kombu's Redis transport, with messages popped many at a time and nothing kept about them.

Kombu pops one message per round trip and writes each into an ``unacked`` hash and a sorted set, so that it can be
delivered again after a timeout. Here Postgres is what delivers again, so a message that a dead worker took along is
simply gone, and acknowledging costs nothing.

Not guaranteed: that a message arrives, or arrives once. See ``engine.republish`` and ``engine.claim``.
"""

import base64
import contextlib
import select
from queue import Empty
from time import monotonic
from typing import Any, ClassVar, Literal

import orjson
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis.exceptions import ConnectionError as RedisConnectionError

from agentfleet import failpoints
from agentfleet.broker.names import UNREADABLE_TASK
from agentfleet.broker.pulse import PULSE

RECEIVE = failpoints.declare("receive", lambda: RedisConnectionError("failpoint receive"), repeatable=False)
ACKNOWLEDGE = failpoints.declare("acknowledge", None, repeatable=False)

ALIAS, ALIAS_SENTINEL = "doorbell", "doorbell-sentinel"
STOCK, STOCK_SENTINEL = ("redis", "rediss"), "sentinel"
BATCH = 64
"""Messages per pop: enough that the round trip no longer counts, few enough that workers share fairly."""


class QoS(virtual.QoS):
    """Counts what is in flight, in memory; restores nothing."""

    restore_at_shutdown = False

    def restore_visible(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing waits to be restored: there is no record of unacknowledged messages."""

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Nothing is pushed back at exit: the drain has returned unclaimed steps to Postgres."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """A rejected message is forgotten; Postgres knows whether its step still wants one."""
        self.ack(delivery_tag)


class StockChannel(redis.Channel):
    """Pops as kombu does, one message at a time, whatever it is: kombu's own reader would take the worker down."""

    command: ClassVar[str] = "BRPOP"

    def _brpop_read(self, **options: Any) -> Literal[True]:
        try:
            try:
                popped = self.client.parse_response(self.client.connection, self.command, **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            PULSE.pops += 1
            if not popped:
                raise Empty
            key, messages = popped
            queue = (key.decode() if isinstance(key, bytes) else key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            RECEIVE.before()
            for raw in messages if isinstance(messages, list) else [messages]:
                self.connection._deliver(readable(raw, queue), queue)  # noqa: SLF001  # as kombu's own channel does
            RECEIVE.after()
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()


class Channel(StockChannel):
    """Pops up to ``BATCH`` messages at once, never more than there is room for."""

    command = "BLMPOP"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.QoS = QoS  # kombu's sets its own, which restores messages, when `ack_emulation` is off

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        keys = [self._q_for_pri(queue, priority) for priority in self.priority_steps for queue in queues]
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        room = self.qos.can_consume_max_estimate()
        count = BATCH if room is None else max(1, min(BATCH, room))
        wait = self.brpop_timeout if timeout is None else timeout
        self.client.connection.send_command("BLMPOP", wait or 0, len(keys), *keys, "RIGHT", "COUNT", count)


class Transport(redis.Transport):
    """``doorbell://host:port/db``: Redis 7 or Valkey, for BLMPOP."""

    Channel = Channel
    aliases: ClassVar[tuple[str, ...]] = (ALIAS,)


class StockTransport(redis.Transport):
    """``redis://`` and ``rediss://``."""

    Channel = StockChannel


def readable(raw: bytes | str, queue: str) -> dict[str, Any]:
    """The message, or, when it is none, a message about it: somebody must see it, and the worker must stay up."""
    try:
        message = orjson.loads(raw)
        if _is_message(message):
            message["properties"].setdefault("delivery_info", {})
            return message
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    data = raw if isinstance(raw, bytes) else raw.encode()
    return {
        "body": base64.b64encode(data).decode(),
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {"task": UNREADABLE_TASK, "id": None},
        "properties": {
            "delivery_tag": f"unreadable-{monotonic()}-{id(raw)}",
            "delivery_info": {"exchange": "", "routing_key": queue},
            "body_encoding": "base64",
        },
    }


def _is_message(message: Any) -> bool:
    """Whether kombu and Celery can read it; raises one of the usual errors when it is something else altogether."""
    headers, properties = message["headers"], message["properties"]
    if not isinstance(headers.get("task", ""), str) or not isinstance(properties["delivery_tag"], str):
        return False
    if properties.get("body_encoding") == "base64":
        base64.b64decode(message["body"], validate=True)
        return True
    return properties.get("body_encoding") is None and isinstance(message["body"], str)


def receive_rest(channel: Any) -> None:
    """Deliver what a pop that is under way brings: the server has taken those messages off the list already."""
    if channel._in_poll:  # noqa: SLF001  # kombu's own word for it; there is no other
        poll = select.poll()
        poll.register(channel.client.connection._sock, select.POLLIN)  # noqa: SLF001  # as above
        if poll.poll((channel.brpop_timeout + 0.5) * 1000):
            with contextlib.suppress(Empty):
                channel._brpop_read()  # noqa: SLF001  # as above


def register() -> None:
    """Make ``doorbell://`` URLs work in this process, and count the pops of the others."""
    TRANSPORT_ALIASES[ALIAS] = f"{__name__}:Transport"
    TRANSPORT_ALIASES.update(dict.fromkeys(STOCK, f"{__name__}:StockTransport"))
    TRANSPORT_ALIASES[ALIAS_SENTINEL] = "agentfleet.broker.sentinel:Transport"
    TRANSPORT_ALIASES[STOCK_SENTINEL] = "agentfleet.broker.sentinel:StockTransport"
