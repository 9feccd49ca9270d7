"""Redis must keep what it is given: a full one has to say so, not to drop a queue on its own."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.domain.errors import InvalidInput

log = structlog.get_logger("agentfleet.broker")

KEEPING = "noeviction"
REMEDY = "set it with CONFIG SET maxmemory-policy noeviction, and in redis.conf or the service's parameters"
LOOK_WITHIN = 2.0
"""Seconds that a start waits for the answer: Redis may be away."""


def policy(memory: Mapping[str, Any]) -> str | None:
    """What the server does when it is full, from its ``INFO memory``, which managed services allow, unlike CONFIG."""
    return memory.get("maxmemory_policy")


def danger(found: str) -> str:
    """What is wrong with this policy, for humans."""
    return f"maxmemory-policy is {found}: a full Redis would drop queues"


async def refuse_eviction(redis: Redis) -> None:
    """Raise ``InvalidInput`` when this Redis drops keys. One that cannot be asked is only warned of."""
    try:
        async with asyncio.timeout(LOOK_WITHIN):
            found = policy(await redis.info("memory"))
    except (RedisError, OSError) as error:
        log.warning("eviction_unknown", error=str(error), remedy=REMEDY)
        return
    if found is None:
        log.warning("eviction_unknown", error="INFO memory does not tell", remedy=REMEDY)
    elif found != KEEPING:
        raise InvalidInput("AGENTFLEET_REDIS_URL", f"{danger(found)}; {REMEDY}")
