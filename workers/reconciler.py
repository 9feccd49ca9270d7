"""The reconciler: the duties that keep every run moving. ``python -m workers.reconciler``."""

import asyncio
from collections.abc import Awaitable, Callable

import uvloop

from agentfleet import bootstrap
from agentfleet.broker.room import RoomMeter
from agentfleet.settings import Settings
from agentfleet.store.leadership import Leadership
from agentfleet.telemetry import logs, metrics
from workers.loops import Duty, lead

PRUNE_EVERY = 3_600.0
"""Seconds; what is kept for days need not be forgotten at once."""
PRUNE_RUNS_EVERY = 600.0
"""Seconds; so that runs are archived many at a time, and a store that was away is tried again soon."""


def duties(parts: bootstrap.Reconciler) -> list[Duty]:
    """Every periodic duty: one row each."""
    every = parts.settings.reconcile_poll
    return [
        Duty("promote", parts.promoter.run_once, every),
        Duty("rescue", parts.rescuer.run_once, every),
        Duty("republish", parts.republisher.run_once, every),
        Duty("expire", parts.expirer.run_once, every),
        Duty("prune", parts.pruner.run_once, PRUNE_EVERY),
        Duty("prune_runs", parts.run_pruner.run_once, PRUNE_RUNS_EVERY),
        Duty("alert", parts.alerts.run_once, every * 5),
        Duty("watch_letters", parts.letters.run_once, every * 15),
        Duty("prune_alerts", parts.alerts.prune, PRUNE_EVERY),
        Duty("survey", parts.surveyor.run_once, every * 5),
        Duty("measure", _quietly(parts), every * 5),
        Duty("measure_load", parts.loads.run_once, every * 5),
        Duty("tell_size", parts.scale_gauges.run_once, every * 5),
        Duty("prune_loads", parts.loads.prune, PRUNE_EVERY),
        Duty("measure_redis", RoomMeter(parts.redis).run_once, every * 5),
    ]


def _quietly(parts: bootstrap.Reconciler) -> Callable[[], Awaitable[int]]:
    async def measure() -> int:
        await parts.meter.run_once()
        return 0  # looking is not progress: the next look waits its turn

    return measure


async def serve(settings: Settings) -> None:
    """Do every duty until SIGTERM."""
    async with bootstrap.reconciler(settings) as parts:
        every = settings.reconcile_poll
        leadership = Leadership(parts.db.config, f"reconciler:{settings.pool}", asked_every=every)
        await lead("reconciler", leadership, duties(parts), check_every=every)


def main() -> None:
    """Run the process."""
    settings = Settings()
    bootstrap.check(settings, leads=True)
    logs.configure(settings.log_level, settings.log_format, process="reconciler")
    metrics.serve(settings.metrics_port, host=settings.metrics_host)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
