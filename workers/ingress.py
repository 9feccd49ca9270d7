"""The HTTP API, one process of it. ``python -m workers.ingress``. Stateless: run as many as there is traffic for.

Prints one JSON line, ``{"url": ...}``, when it accepts requests. SIGTERM drains: long polls and event streams are sent
home with what they have, other requests are finished, and the process ends with 0.
"""

import logging
import math
import os
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn
from fastapi import FastAPI

from agentfleet import bootstrap
from agentfleet.api.app import create_app
from agentfleet.settings import Settings
from agentfleet.telemetry import logs, metrics
from workers.announce import announce

log = structlog.get_logger("agentfleet.ingress")

KEEP_ALIVE = 75  # seconds; longer than load balancers keep an idle connection, so that we never close one in use
BACKLOG = 2_048


class Server(uvicorn.Server):
    """Says when it is ready, and sends those home who only wait when it stops."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("ready", url=url)
            announce(url=url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("draining")
        self._app.state.services.watch.stop()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM, with the settings of the environment."""
    settings = Settings()
    bootstrap.check(settings, agents=True)
    logs.configure(settings.log_level, settings.log_format, process="ingress")
    metrics.serve(0)  # the API serves them itself
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        settings.host,
        settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.drain),
    )
    signal.signal(signal.SIGTERM, _stop)  # uvicorn raises the signal again once it has drained
    Server(config, app).run()


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Everything is closed by now. Tearing the interpreter down would take a second more, in which nobody listens."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
