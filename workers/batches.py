"""The batch lane: sends waiting model calls as Message Batches, brings home the results. ``python -m workers.batches``.

Without it the runs of the lane call directly, a quarter of an hour later.
"""

import asyncio

import uvloop

from agentfleet import bootstrap
from agentfleet.settings import Settings
from agentfleet.store.leadership import Leadership
from agentfleet.telemetry import logs, metrics
from workers.loops import Duty, lead


async def serve(settings: Settings) -> None:
    """Serve the lane until SIGTERM."""
    async with bootstrap.batches(settings) as parts:
        every = settings.batch_every
        duties = [
            Duty("send_batches", parts.sender.run_once, every),
            Duty("receive_batches", parts.receiver.run_once, every),
        ]
        leadership = Leadership(parts.db.config, "batches", asked_every=settings.reconcile_poll)
        await lead("batches", leadership, duties, check_every=settings.reconcile_poll)


def main() -> None:
    """Run the process."""
    settings = Settings()
    bootstrap.check(settings, provider=True, leads=True)
    logs.configure(settings.log_level, settings.log_format, process="batches")
    metrics.serve(settings.metrics_port, host=settings.metrics_host)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
