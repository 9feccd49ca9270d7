"""A connection on which nothing waits for ever.

A peer that is gone without a word (a dropped packet, a machine without power, a stopped server behind a proxy) leaves a
connection that looks well. Three bounds, from the kernel outwards: keepalives notice a dead idle peer, on either side,
and ``tcp_user_timeout`` one that acknowledges nothing; ``statement_timeout`` ends what the server takes too long for;
and what has not been answered for ``limit`` seconds is given up here, whatever the kernels say. Its outcome is unknown.
"""

import time
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen

RV = TypeVar("RV")

CONNECT_TIMEOUT = 5
"""Seconds for one try to connect."""
KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
"""Of libpq: an idle peer that died is noticed after 20 s, one that acknowledges nothing after 15 s."""
SERVER_KEEPALIVE = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "15000",
}
"""The same on the server's side: a leader's lock must not outlive its machine by the kernel's two hours."""


class Connection(psycopg.AsyncConnection[Any]):
    """Raises ``psycopg.OperationalError`` and is closed when an answer takes longer than ``limit`` seconds."""

    limit: float = 20.0

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """As psycopg's; ``limit`` is in seconds."""
        limit = float(kwargs.pop("limit", cls.limit))
        made = await super().connect(conninfo, **KEEPALIVE, connect_timeout=CONNECT_TIMEOUT, **kwargs)
        made.limit = limit
        return made

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for one answer. Everything that psycopg does on a connection waits here."""
        end = time.monotonic() + self.limit
        try:
            return await super().wait(gen, interval, timeout or self.limit)
        except psycopg.OperationalError as error:
            if timeout is not None or time.monotonic() < end:
                raise
            self.pgconn.finish()  # asking the server to cancel would take a connection to a server that does not answer
            raise psycopg.OperationalError(f"no answer within {self.limit:g} s: the connection is given up") from error
