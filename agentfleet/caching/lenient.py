"""Asking Redis for what one can do without."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger("agentfleet.cache")

ANSWER_WITHIN = 1.0
"""Seconds that Redis has for one answer: who can do without it does not wait longer."""
LEFT_ALONE = 5.0
"""Seconds that a Redis which failed is not asked again: thousands of calls must not find out one by one."""

Found = TypeVar("Found")


class Lenient:
    """Asks, and says ``None`` when Redis is away. Belongs to one event loop."""

    def __init__(self) -> None:
        self._away_until = float("-inf")

    async def __call__(self, ask: Callable[[], Coroutine[Any, Any, Found]]) -> Found | None:
        """What ``ask`` finds. Raises nothing of Redis' own."""
        now = asyncio.get_running_loop().time()
        if now < self._away_until:
            return None
        try:
            return await _within(ANSWER_WITHIN, ask())
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            self._away_until = now + LEFT_ALONE
            log.warning("cache_away", error=str(error), error_type=type(error).__name__)
            return None


async def _within(seconds: float, asking: Coroutine[Any, Any, Found]) -> Found:
    """Raises ``TimeoutError``.

    As a task: redis-py sends under ``asyncio.wait_for``, which before Python 3.12 may swallow the cancellation of its
    caller (https://github.com/python/cpython/issues/86296).
    """
    task = asyncio.create_task(asking)
    task.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError(f"no answer within {seconds:g} s")
    return task.result()


def _forget(task: asyncio.Task[Any]) -> None:
    """Take notice of how it ended, as nobody else may do."""
    if not task.cancelled():
        task.exception()
