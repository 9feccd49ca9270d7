"""TLS with Postgres: what is wrong with it is wrong until somebody changes the URL, so it ends a start at once."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from agentfleet.domain.errors import InvalidInput
from agentfleet.store.connection import CONNECT_TIMEOUT

REMEDY = "sslrootcert= must name the file of the CA that signed the server's certificate, which must name the host"


def distrusted(error: BaseException) -> InvalidInput | None:
    """What to tell about a connection that failed for TLS's sake; ``None`` when it failed otherwise."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if not isinstance(error, psycopg.OperationalError) or not ("certificate" in reason or "SSL" in reason):
        return None
    return InvalidInput("AGENTFLEET_DATABASE_URL", f"{reason}; {REMEDY}" if "certificate" in reason else reason)


def require_trust(url: str) -> None:
    """Raises ``InvalidInput`` when a URL that asks for TLS does not get it, and for one that is none; a server that is
    away may come. Blocks.
    """
    try:
        asked = "sslmode" in conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Not what libpq says: it may quote half a password.
        raise InvalidInput("AGENTFLEET_DATABASE_URL", "is not postgresql://user:password@host:port/database") from None
    if not asked:
        return
    try:
        psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT).close()
    except psycopg.OperationalError as error:
        if problem := distrusted(error):
            raise problem from None
