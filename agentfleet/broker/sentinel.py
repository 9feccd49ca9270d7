"""The transports of ``transport.py``, to whoever the Sentinels call the primary."""

from typing import Any, ClassVar

from kombu.transport import redis
from redis.connection import ConnectionPool
from redis.sentinel import Sentinel, SentinelManagedConnection

from agentfleet.broker import transport


class ThroughSentinel:
    """A channel whose connections ask the Sentinels first, every time that they are made."""

    from_transport_options = (*redis.Channel.from_transport_options, "master_name", "sentinels", "sentinel_kwargs")
    connection_class = SentinelManagedConnection
    connection_class_ssl = redis.SentinelManagedSSLConnection
    master_name: str
    sentinels: tuple[tuple[str, int], ...]
    sentinel_kwargs: ClassVar[dict[str, Any]]

    def _get_pool(self: Any, asynchronous: bool = False) -> ConnectionPool:
        options = self._connparams(asynchronous=asynchronous)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=options["db"])
        for of_a_server in ("host", "port"):
            options.pop(of_a_server)
        asked = Sentinel(self.sentinels, sentinel_kwargs=self.sentinel_kwargs)
        if asynchronous:
            self._async_sentinel_manager = asked  # kombu closes both
        else:
            self._sentinel_manager = asked
        return asked.master_for(self.master_name, **options).connection_pool


class Channel(ThroughSentinel, transport.Channel):
    """Pops many messages at once."""


class StockChannel(ThroughSentinel, transport.StockChannel):
    """Pops one."""


class Transport(transport.Transport):
    """``doorbell-sentinel://``."""

    Channel = Channel


class StockTransport(transport.StockTransport):
    """``sentinel://``, also Flower's word for it."""

    Channel = StockChannel
