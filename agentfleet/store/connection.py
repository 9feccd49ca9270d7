"""A connection on which nothing waits for ever, and that knows whether its session is its own.

A peer that is gone without a word (a dropped packet, a machine without power, a stopped server behind a proxy) leaves a
connection that looks well. Three bounds, from the kernel outwards: keepalives notice a dead idle peer, on either side,
and ``tcp_user_timeout`` one that acknowledges nothing; ``statement_timeout`` ends what the server takes too long for;
and what has not been answered for ``limit`` seconds is given up here, whatever the kernels say. Its outcome is unknown.

Behind a pooler such as PgBouncer the next transaction may have another session of Postgres, and this one somebody else.
Such a connection tells its client another process id than that of the session; then nothing is set for longer than a
transaction, and nothing prepared. No option is sent at the start: poolers refuse them, or worse, ignore them.
"""

import time
from collections.abc import Mapping
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

SET_SESSION = b"""
SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS given (name, value)
WHERE pg_backend_pid() = $3
"""
"""Names, values, and the process id that the connection was told. No rows: the session is not ours to set."""


class Connection(psycopg.AsyncConnection[Any]):
    """Raises ``psycopg.OperationalError`` and is closed when an answer takes longer than ``limit`` seconds."""

    limit: float = 20.0
    pooled: bool = False
    """Whether a pooler stands before Postgres: every transaction sets what it needs."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """As psycopg's, and: ``limit`` in seconds; ``session``, names and values to set if the session is ours;
        ``pooler_prepares``: a pooler, if there is one, keeps prepared statements.
        """
        limit = float(kwargs.pop("limit", cls.limit))
        session, pooler_prepares = kwargs.pop("session", {}), kwargs.pop("pooler_prepares", False)
        autocommit = bool(kwargs.pop("autocommit", False))
        made = await super().connect(conninfo, **KEEPALIVE, connect_timeout=CONNECT_TIMEOUT, autocommit=True, **kwargs)
        made.limit = limit
        try:
            made.pooled = bool(session) and not await _set_session(made, session)
            await made.set_autocommit(autocommit)
        except psycopg.Error as error:
            await made.close()
            raise psycopg.OperationalError(str(error)) from error
        if made.pooled and not pooler_prepares:
            made.prepare_threshold = None
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


async def _set_session(connection: Connection, session: Mapping[str, str]) -> bool:
    """Whether the session is ours, and set."""
    cursor = psycopg.AsyncRawCursor(connection)
    given = (list(session), list(session.values()), connection.info.backend_pid)
    await cursor.execute(SET_SESSION, given, prepare=False)
    return cursor.rowcount > 0
