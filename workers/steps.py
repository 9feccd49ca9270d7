"""A step worker: a Celery worker whose step task runs on one event loop. ``python -m workers.steps``.

It is ready, prints one JSON line, ``{"ready": ...}``, and says so on ``/readyz``, when nothing is left to be waited for
by a first step: connections to the servers, clients of the provider, agents, bundles. SIGTERM drains: claims nothing,
finishes what ends within AGENTFLEET_DRAIN seconds, hands back the rest. SIGQUIT hands everything back at once.
"""

import logging
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from celery.signals import worker_ready

from agentfleet import bootstrap
from agentfleet.broker.bootstep import Work, install, run
from agentfleet.broker.loop import Serving
from agentfleet.telemetry import logs, metrics
from workers.announce import announce
from workers.app import app, settings


class Readiness:
    """Whether work can be expected of this worker; asked by other threads."""

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self._takes_steps = False

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[Serving]:
        """The worker's parts, connected and warm."""
        async with bootstrap.worker(settings) as serving:
            self._serving = serving
            yield serving

    def announce(self, sender: Any, **_: object) -> None:
        """Celery's ``worker_ready``: it consumes."""
        self._takes_steps = True
        announce(ready=sender.hostname)

    def healthy(self) -> bool:
        """For ``/healthz``."""
        return self._serving is None or self._serving.watchdog.healthy()

    def unready(self) -> str | None:
        """For ``/readyz``: why not."""
        if self._serving is None or not self._takes_steps:
            return "starting"
        return "draining" if self._serving.server.draining else None


def main() -> None:
    """Take and run steps until told to stop, with the settings of the environment."""
    bootstrap.check(settings, agents=True, provider=True)
    logs.configure(settings.log_level, settings.log_format, process="steps")
    readiness = Readiness()
    metrics.serve(
        settings.metrics_port, host=settings.metrics_host, healthy=readiness.healthy, unready=readiness.unready
    )
    worker_ready.connect(readiness.announce, weak=False)
    install(app, Work(readiness.serve, drain=settings.drain, warm_up=settings.warm_up))
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
