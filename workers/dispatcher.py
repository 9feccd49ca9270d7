"""The dispatcher of one pool: admits its backlog as far as the window and the provider have room.

``python -m workers.dispatcher``.
"""

import asyncio

import uvloop
from redis.exceptions import RedisError

from agentfleet import bootstrap
from agentfleet.broker import names
from agentfleet.settings import Settings
from agentfleet.store.leadership import Leadership
from agentfleet.telemetry import logs, metrics
from workers.loops import Duty, lead

LIMITS_EVERY = 3_600.0
"""Seconds; limits change when somebody changes them, and every answer tells."""


async def serve(settings: Settings) -> None:
    """Dispatch until SIGTERM."""
    async with bootstrap.reconciler(settings) as parts:
        key = names.wake(settings.redis_prefix, settings.pool)

        async def woken(within: float) -> None:
            """Wait for a ring, or until ``within`` seconds have passed; without Redis, for the time."""
            try:
                if await parts.redis.blpop([key], timeout=within):
                    parts.admitter.wake()
            except (RedisError, OSError):
                await asyncio.sleep(within)

        every = settings.dispatch_poll
        duties = [
            Duty("dispatch", parts.dispatcher.run_once, every, woken),
            Duty("admit", parts.admitter.run_once, every, parts.admitter.wait),
        ]
        if parts.published_limits is not None:
            duties.append(Duty("limits", parts.published_limits.run_once, LIMITS_EVERY))
        leadership = Leadership(parts.db.config, f"dispatcher:{settings.pool}", asked_every=every)
        await lead(f"dispatcher:{settings.pool}", leadership, duties, check_every=every)


def main() -> None:
    """Run the process."""
    settings = Settings()
    bootstrap.check(settings, leads=True)
    logs.configure(settings.log_level, settings.log_format, process="dispatcher")
    metrics.serve(settings.metrics_port, host=settings.metrics_host)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
