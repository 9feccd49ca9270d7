"""TLS with Postgres: what is wrong with it is wrong until somebody changes the URL, so it ends a start at once."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from agentfleet.domain.errors import InvalidInput
from agentfleet.store.connection import Connection

REMEDY = "sslrootcert= must name the file of the CA that signed the server's certificate, which must name the host"


def distrusted(error: BaseException) -> InvalidInput | None:
    """What to tell about a connection that failed for TLS's sake; ``None`` when it failed otherwise."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if isinstance(error, psycopg.OperationalError) and ("certificate" in reason or "SSL" in reason):
        return InvalidInput("AGENTFLEET_DATABASE_URL", f"{reason}; {REMEDY}")
    return None


async def require_trust(url: str) -> None:
    """Raises ``InvalidInput`` when a URL that asks for TLS does not get it; a server that is away may come."""
    if "sslmode" not in conninfo_to_dict(url):
        return
    try:
        await (await Connection.connect(url)).close()
    except psycopg.OperationalError as error:
        if problem := distrusted(error):
            raise problem from None
