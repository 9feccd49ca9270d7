"""Room: how full Redis is, and whether it would drop keys, as gauges."""

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.broker import eviction
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.broker")


class RoomMeter:
    """Sets the gauges of Redis. While it cannot be asked they stay as they were."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def run_once(self) -> int:
        """Look; always 0, since looking is not progress."""
        try:
            memory = await self._redis.info("memory")
        except (RedisError, OSError) as error:
            log.debug("redis_not_measured", error=str(error))
            return 0
        used, limit = memory["used_memory"], memory.get("maxmemory") or memory.get("total_system_memory")
        metrics.REDIS_MEMORY.labels("used").set(used)
        if limit:
            metrics.REDIS_MEMORY.labels("limit").set(limit)
        policy = eviction.policy(memory)
        if policy is not None:
            metrics.REDIS_EVICTS.set(policy != eviction.KEEPING)
        return 0
