"""A step worker: a Celery worker whose step task runs on one event loop. ``python -m workers.steps``.

SIGTERM drains: claims nothing, finishes what ends within AGENTFLEET_DRAIN seconds, hands back the rest. SIGQUIT hands
everything back at once. Prints one JSON line, ``{"ready": ...}``, when it takes steps.
"""

import logging
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from celery.signals import worker_ready

from agentfleet import bootstrap
from agentfleet.broker.bootstep import install, run
from agentfleet.broker.loop import Serving
from agentfleet.broker.watchdog import Watchdog
from agentfleet.telemetry import logs, metrics
from workers.announce import announce
from workers.app import app, settings


def main() -> None:
    """Take and run steps until told to stop, with the settings of the environment."""
    bootstrap.check(settings, agents=True, provider=True)
    logs.configure(settings.log_level, settings.log_format, process="steps")
    watchdogs: list[Watchdog] = []
    metrics.serve(settings.metrics_port, healthy=lambda: all(one.healthy() for one in watchdogs))

    @asynccontextmanager
    async def serve() -> AsyncGenerator[Serving]:
        async with bootstrap.worker(settings) as serving:
            watchdogs.append(serving.watchdog)
            yield serving

    worker_ready.connect(lambda sender, **_: announce(ready=sender.hostname), weak=False)
    install(app, serve, drain=settings.drain)
    code = run(
        app,
        [
            "--loglevel",
            settings.log_level,
            "--without-gossip",
            "--without-mingle",
            "--hostname",
            f"steps-{settings.pool}-{os.getpid()}@{socket.gethostname()}",
            *sys.argv[1:],
        ],
    )
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # a tool's thread cannot be stopped, and would keep the drained process for as long as it likes


if __name__ == "__main__":
    main()
