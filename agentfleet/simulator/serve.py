"""Run a simulator under uvicorn: in this process, or in a thread for tests and notebooks."""

import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentfleet.simulator.app import create_app
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.exchange import TRANSPORT
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.wire import encode

KEEP_ALIVE_SECONDS = 75  # longer than a client keeps an idle connection, so that the server never closes one in use
GRACE_SECONDS = 2  # calls still open when the server stops


class ResettableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which also hands the app its socket: no ASGI message can reset a connection."""

    def on_message_begin(self) -> None:
        """Start a request, with the extension in its scope."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # pyright: ignore[reportGeneralTypeIssues]


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str, *, announce: bool) -> None:
        super().__init__(config)
        self.url = url
        self.announce = announce
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.announce:
            sys.stdout.write(encode({"url": self.url}).decode() + "\n")
            sys.stdout.flush()
        self.ready.set()


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that is being served: its base URL, and its state for a look inside."""

    url: str
    simulator: Simulator


def main(
    host: str = "127.0.0.1", port: int = 8787, config: SimulatorConfig | None = None, *, announce: bool = True
) -> None:
    """Serve until interrupted. Port 0 takes a free one. Once ready, prints one JSON line, `{"url": ...}`."""
    app = create_app(config)
    sock = _listen(host, port)
    server = _Server(_config(app), _url(sock), announce=announce)
    server.run(sockets=[sock])


@contextmanager
def background(config: SimulatorConfig | None = None) -> Generator[Running]:
    """Serve on a free loopback port in a thread while the `with` block runs."""
    app = create_app(config)
    sock = _listen("127.0.0.1", 0)
    server = _Server(_config(app), _url(sock), announce=False)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="simulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(timeout=30):
            raise RuntimeError("the simulator did not start")
        yield Running(url=server.url, simulator=app.state.simulator)
    finally:
        server.should_exit = True
        thread.join()


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType]
        http=ResettableProtocol,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
