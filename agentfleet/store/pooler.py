"""Whether what answers at a URL gives one session of Postgres to several connections, as PgBouncer does in transaction
mode. What belongs to a session, such as a leader's lock, is lost or left behind there.
"""

from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from agentfleet.domain.errors import InvalidInput
from agentfleet.store.connection import CONNECT_TIMEOUT
from agentfleet.store.trust import distrusted

TRIES = 20
"""Of finding one session in the hands of two connections. On a pooler that does nothing else, the first one does."""
OF_THE_SESSION = sql.SQL("SELECT pg_backend_pid()")


def shares_sessions(url: str) -> bool:
    """Look, with two connections; raises ``psycopg.OperationalError``, or ``InvalidInput`` for TLS. Blocks.

    Certain when it says yes. A pooler in session mode is no different from Postgres itself here.
    """
    with _connect(url) as first:
        mine = _session(first)
        if mine == first.info.backend_pid:
            return False
        with _connect(url) as second:
            for _ in range(TRIES):
                with second.transaction():  # keeps what it has while the first one asks again
                    if _session(second) == mine or _session(first) != mine:
                        return True
    return False


def require_sessions(url: str, why: str) -> None:
    """Raises ``InvalidInput``, with ``why``, where sessions are shared."""
    if shares_sessions(url):
        place = urlsplit(url)
        raise InvalidInput(
            "AGENTFLEET_DATABASE_DIRECT_URL",
            f"{place.hostname}:{place.port or 5432} is a pooler in transaction mode, and {why}: set this to the URL of"
            " Postgres itself",
        )


def _connect(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(url, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_TIMEOUT)
    except psycopg.OperationalError as error:
        raise distrusted(error) or error from None


def _session(connection: psycopg.Connection) -> int:
    row = connection.execute(OF_THE_SESSION).fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM has a row
    return int(row[0])
