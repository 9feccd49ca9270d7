"""Redis: reachable, new enough, and never dropping a key on its own."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from agentfleet.broker import eviction, names
from agentfleet.cli.checks.clock import skew
from agentfleet.cli.checks.database import place
from agentfleet.cli.checks.finding import Finding, fail, ok, warn
from agentfleet.settings import Settings

OLDEST_VERSION = 7


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Findings about Redis."""
    url = settings.redis_url
    if url is None:
        do = "set it to redis://host:port/0, or use `agentfleet dev`, which brings one along"
        yield fail("redis", "AGENTFLEET_REDIS_URL is not set", do)
        return
    try:
        with contextlib.closing(_connect(url)) as client:
            yield from _look(client, place(url), names.queue(settings.redis_prefix, settings.pool))
    except (RedisError, OSError, ValueError) as error:
        do = "check AGENTFLEET_REDIS_URL and that Redis runs there; runs are accepted meanwhile, but start late"
        yield fail("redis", f"no connection to {place(url)}: {error}", do)


def _look(client: Any, where: str, queue: str) -> Iterator[Finding]:
    before = time.time()  # noqa: TID251 - comparing clocks is the point
    seconds, micros = client.time()
    after = time.time()  # noqa: TID251 - as above
    yield ok("redis", f"reachable at {where}")
    yield skew("Redis", seconds + micros / 1e6, before, after)
    info = client.info("server")
    version = str(info.get("redis_version", "0"))
    if int(version.partition(".")[0]) < OLDEST_VERSION:
        yield fail("redis version", f"{version} is too old", f"upgrade to Redis or Valkey {OLDEST_VERSION} or newer")
    else:
        yield ok("redis version", f"{version} ({info.get('server_name', 'redis')})")
    yield _eviction(client)
    yield ok(f"messages in {queue}", str(client.llen(queue)))


def _eviction(client: Any) -> Finding:
    try:
        policy = eviction.policy(client.info("memory"))
    except ResponseError:  # forbidden
        policy = None
    if policy is None:
        return warn("eviction", "maxmemory-policy cannot be read", "make sure that it is noeviction")
    if policy != eviction.KEEPING:
        return fail("eviction", eviction.danger(policy), eviction.REMEDY)
    return ok("eviction", "noeviction: a full Redis says so, and drops nothing")


def _connect(url: str) -> Any:
    """A client. Its methods are annotated for asynchronous use too, so it is `Any` from here on."""
    return Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5, decode_responses=True)  # pyright: ignore[reportUnknownMemberType] - untyped kwargs
