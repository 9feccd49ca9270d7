"""A step worker: a Celery worker whose step task runs on one event loop. ``python -m workers.steps``.

SIGTERM drains: claims nothing, finishes what ends within AGENTFLEET_DRAIN seconds, hands back the rest. SIGQUIT hands
everything back at once.
"""

import os
import socket
import sys

from prometheus_client import start_http_server

from agentfleet import bootstrap
from agentfleet.broker.bootstep import install
from agentfleet.telemetry import logs
from workers.app import app, settings


def main() -> None:
    logs.configure(settings.log_level, settings.log_format, process="steps")
    if settings.metrics_port:
        start_http_server(settings.metrics_port)
    install(app, lambda: bootstrap.worker(settings), drain=settings.drain)
    app.worker_main([
        "worker", "--loglevel", settings.log_level, "--without-gossip", "--without-mingle",
        "--hostname", f"steps-{settings.pool}-{os.getpid()}@{socket.gethostname()}", *sys.argv[1:],
    ])


if __name__ == "__main__":
    main()
