"""Clients of Redis, by whichever way it is reached."""

import ssl
from contextlib import closing
from typing import Any

from redis import Redis as SyncRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry as SyncRetry
from redis.sentinel import Sentinel as SyncSentinel

from agentfleet.broker.place import Place
from agentfleet.domain.errors import InvalidInput

TIMES = {"socket_connect_timeout": 5, "socket_timeout": 10, "socket_keepalive": True}
"""Seconds: nobody waits for ever on a dead server."""
QUICK = {"socket_connect_timeout": 1, "socket_timeout": 1}
ONCE, SYNC_ONCE = Retry(NoBackoff(), 0), SyncRetry(NoBackoff(), 0)
"""How a Sentinel is asked: the next one knows as much."""
REMEDY = (
    "set this to the file of the CA that signed it, AGENTFLEET_REDIS_URL to the host that it names, and"
    " AGENTFLEET_REDIS_CERT_FILE and _KEY_FILE if Redis asks for ours"
)


class PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to whoever the Sentinels call the primary when a connection is made."""

    async def aclose(self) -> None:
        """Close them, and those to the Sentinels."""
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def client(place: Place, *, connections: int, patience: float) -> Redis:
    """A client that waits ``patience`` seconds for a free connection of ``connections``, instead of failing."""
    limits: dict[str, Any] = {"max_connections": connections, "timeout": patience, **TIMES, **(place.tls or {})}
    if place.master is None:
        pool = BlockingConnectionPool.from_url(place.url, **limits)  # pyright: ignore[reportUnknownMemberType]  # its keywords have no types
        return Redis.from_pool(pool)  # owns it: closing the client closes the connections
    sentinels = Sentinel(place.servers, sentinel_kwargs=place.sentinel_options(**QUICK, retry=ONCE))
    return Redis.from_pool(PrimaryPool(place.master, sentinels, ssl=place.tls is not None, **place.login, **limits))


def sync_client(place: Place, **options: Any) -> Any:
    """One that blocks, for a look. Its methods are annotated for asynchronous use too, so it is ``Any``."""
    options = {**TIMES, "socket_timeout": 5, **(place.tls or {}), **options}
    if place.master is None:
        return SyncRedis.from_url(place.url, **options)  # pyright: ignore[reportUnknownMemberType]  # as above
    sentinels = SyncSentinel(place.servers, sentinel_kwargs=sync_sentinels(place))
    return sentinels.master_for(place.master, ssl=place.tls is not None, **place.login, **options)


def sync_sentinels(place: Place) -> dict[str, Any]:
    """Keywords for clients of Sentinels that block."""
    return place.sentinel_options(**QUICK, retry=SYNC_ONCE)


def distrusted(error: BaseException) -> str | None:
    """Why TLS failed, for humans; ``None`` when it was something else. It does not mend itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"Redis' certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS with Redis failed ({cause.reason or cause})"
        cause = cause.__cause__ or cause.__context__
    if "certificate verify failed" in str(error):  # of Sentinels all that comes is text
        return "the certificate of a Sentinel is not trusted"
    return None


def require_trust(place: Place) -> None:
    """Raises ``InvalidInput`` when TLS fails; a Redis that is away may come. Blocks."""
    if place.tls is None:
        return
    try:
        with closing(sync_client(place, retry=SYNC_ONCE)) as asked:
            asked.ping()
    except (RedisError, OSError) as error:
        problem = distrusted(error)
        if problem is not None:
            raise InvalidInput("AGENTFLEET_REDIS_CA_FILE", f"{problem}: {REMEDY}") from None
