"""Ring the doorbell: push envelopes to the queues' Redis lists, many per round trip, behind the caller's back.

Nobody waits for Redis: what cannot be sent is counted and forgotten, and the reconciler publishes it again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from contextvars import Context

import structlog
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from agentfleet import failpoints
from agentfleet.broker import names
from agentfleet.broker.envelope import envelope
from agentfleet.domain.model import Doorbell
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.broker")

PUBLISH = failpoints.declare("publish", lambda: RedisConnectionError("failpoint publish"))
WAKE = failpoints.declare("wake", lambda: RedisConnectionError("failpoint wake"))

MAX_PENDING = 20_000
"""Envelopes kept while Redis is slow; beyond this they are dropped, as Postgres remembers them anyway."""
FLUSH_WITHIN = 5.0
"""Seconds that a process which ends waits for a slow Redis."""


class RedisPublisher:
    """The engine's ``Publisher`` over Redis. Belongs to one event loop."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis, self._prefix = redis, prefix
        self._bells: list[Doorbell] = []
        self._pools: set[str] = set()
        self._revoked: list[str] = []
        self._sender: asyncio.Task[None] | None = None

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:
        """Ring for these steps soon."""
        room = MAX_PENDING - len(self._bells)
        metrics.PUBLISH_FAILURES.inc(max(0, len(doorbells) - room))
        self._bells.extend(doorbells[:room])
        self._send_soon()

    async def wake(self, pool: str) -> None:
        """Wake the pool's dispatcher soon."""
        self._pools.add(pool)
        self._send_soon()

    async def revoke(self, step_ids: Sequence[str]) -> None:
        """Tell every worker soon to stop these steps."""
        self._revoked.extend(step_ids)
        self._send_soon()

    async def empty(self, pool: str) -> bool:
        """Whether the pool's queue holds no message; ``False`` when nobody knows."""
        try:
            return await self._redis.llen(names.queue(self._prefix, pool)) == 0
        except (RedisError, OSError):
            return False

    async def flush(self, within: float = FLUSH_WITHIN) -> None:
        """Wait until everything was sent or given up on, at most ``within`` seconds: Postgres sends the rest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._sender is not None:
                    await asyncio.shield(self._sender)

    def _send_soon(self) -> None:
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), context=Context())  # its log lines are of no step

    async def _send(self) -> None:
        try:
            while self._bells or self._pools or self._revoked:
                bells, self._bells = self._bells, []
                pools, self._pools = self._pools, set()
                revoked, self._revoked = self._revoked, []
                try:
                    await self._push_well(bells, pools, revoked)
                except (RedisError, OSError) as error:
                    metrics.PUBLISH_FAILURES.inc(len(bells))
                    log.warning("publish_failed", error=str(error), messages=len(bells))
        finally:
            self._sender = None

    async def _push_well(self, bells: Sequence[Doorbell], pools: set[str], revoked: Sequence[str]) -> None:
        """Try twice: after a restart of Redis the pool still holds connections of before."""
        try:
            await self._push(bells, pools, revoked)
        except RedisConnectionError:
            await self._push(bells, pools, revoked)

    async def _push(self, bells: Sequence[Doorbell], pools: set[str], revoked: Sequence[str]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        by_pool: dict[str, list[bytes]] = {}
        for bell in bells:
            by_pool.setdefault(bell.pool, []).append(envelope(bell, names.queue(self._prefix, bell.pool)))
        for pool, envelopes in by_pool.items():
            pipe.lpush(names.queue(self._prefix, pool), *envelopes)
        for pool in pools:
            wake = names.wake(self._prefix, pool)
            pipe.lpush(wake, b"1")
            pipe.ltrim(wake, 0, 0)
        if revoked:
            pipe.publish(names.revoke(self._prefix), " ".join(revoked))
        await (PUBLISH if bells else WAKE).around(pipe.execute)
