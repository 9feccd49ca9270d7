"""Kombu's connection, with less patience: who waits half a minute for a Redis that is back is half a minute late."""

from collections.abc import Callable
from typing import Any

from celery.app import amqp
from kombu import connection

FIRST_RETRY = 0.2
LATER_BY = 0.2
LATEST_RETRY = 2.0
"""Seconds between tries to reconnect: soon, then every 2 s. Celery would wait 2, 4, 6 ... 30 s and takes no setting."""


class Connection(connection.Connection):
    """Comes back within seconds of its server."""

    def ensure_connection(
        self, errback: Callable[..., Any] | None = None, max_retries: int | None = None, **options: Any
    ) -> Any:
        """Connect, again and again or ``max_retries`` times; ``errback`` gets each error and the wait in seconds."""
        pace = {"interval_start": FIRST_RETRY, "interval_step": LATER_BY, "interval_max": LATEST_RETRY}
        return super().ensure_connection(errback, max_retries, **{**pace, **options})


class AMQP(amqp.AMQP):
    """Celery's message factory, on our connections."""

    Connection = Connection
    BrokerConnection = Connection
