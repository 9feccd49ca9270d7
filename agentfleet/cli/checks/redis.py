"""Redis: reachable, new enough, and never dropping a key on its own."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from redis.exceptions import RedisError, ResponseError

from agentfleet.broker import eviction, names
from agentfleet.broker.clients import REMEDY, distrusted, sync_client
from agentfleet.broker.place import Place, read_place
from agentfleet.cli.checks.clock import skew
from agentfleet.cli.checks.finding import Finding, fail, ok, warn
from agentfleet.cli.checks.privacy import plain
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings

OLDEST_VERSION = 7


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Findings about Redis."""
    if settings.redis_url is None:
        do = "set it to redis://host:port/0, or use `agentfleet dev`, which brings one along"
        yield fail("redis", "AGENTFLEET_REDIS_URL is not set", do)
        return
    try:
        where = read_place(settings)
    except InvalidInput as error:
        yield fail("redis", str(error), "mend it; nothing starts with it")
        return
    try:
        with contextlib.closing(sync_client(where, decode_responses=True)) as client:
            yield from _look(client, where, names.queue(settings.redis_prefix, settings.pool))
    except (RedisError, OSError, ValueError) as error:
        problem = distrusted(error)
        do = "check AGENTFLEET_REDIS_URL and that Redis runs there; runs are accepted meanwhile, but start late"
        remedy = f"AGENTFLEET_REDIS_CA_FILE: {REMEDY}" if problem else do
        yield fail("redis", f"no connection to {where}: {problem or error}", remedy)


def _look(client: Any, where: Place, queue: str) -> Iterator[Finding]:
    before = time.time()  # noqa: TID251 - comparing clocks is the point
    seconds, micros = client.time()
    after = time.time()  # noqa: TID251 - as above
    yield ok("redis", f"reachable at {where}")
    if where.master is not None:
        host, port = client.connection_pool.master_address
        yield ok("redis primary", f"{host}:{port}, as the Sentinels say")
    yield _privacy(where)
    yield skew("Redis", seconds + micros / 1e6, before, after)
    info = client.info("server")
    version = str(info.get("redis_version", "0"))
    if int(version.partition(".")[0]) < OLDEST_VERSION:
        yield fail("redis version", f"{version} is too old", f"upgrade to Redis or Valkey {OLDEST_VERSION} or newer")
    else:
        yield ok("redis version", f"{version} ({info.get('server_name', 'redis')})")
    yield _eviction(client)
    yield ok(f"messages in {queue}", str(client.llen(queue)))


def _privacy(where: Place) -> Finding:
    if where.tls is not None:
        checked = where.tls.get("ssl_cert_reqs") != "none"
        return ok("redis encryption", f"TLS, {'and its certificate is checked' if checked else 'with anybody'}")
    return plain("redis encryption", [host for host, _ in where.servers], "give a rediss:// or sentinels:// URL")


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
