"""A real PgBouncer in front of a Postgres, in transaction mode unless told otherwise."""

import os
import pwd
import signal
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from agentfleet.dev import child
from tests.tooling import program


class Bouncer:
    """One PgBouncer. ``url`` is that of the server behind it, by way of it."""

    def __init__(self, database_url: str, directory: Path, settings: Mapping[str, object]) -> None:
        self._server = make_url(database_url)
        self._directory, self._log = directory, directory / "pgbouncer.log"
        self._settings = settings
        self._process: child.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Of the database, through here."""
        return self._through(self._server.database)

    def start(self) -> None:
        """On a free port."""
        child.on_free_port(self._launch)

    def revive(self) -> None:
        """On the same port."""
        self._launch(self.port)

    def kill(self) -> None:
        """SIGKILL: every connection through it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._process, signal.SIGTERM)

    def ask(self, command: str) -> list[dict[str, Any]]:
        """What its console says, such as to ``SHOW POOLS``."""
        with psycopg.connect(self._through("pgbouncer"), autocommit=True) as connection:
            cursor = psycopg.ClientCursor(connection, row_factory=psycopg.rows.dict_row)
            return cursor.execute(command.encode()).fetchall()

    def _through(self, database: str | None) -> str:
        return self._server.set(port=self.port, database=database).render_as_string(hide_password=False)

    def _launch(self, port: int) -> None:
        users = self._directory / "users.txt"
        users.write_text(f'"{self._server.username}" "{self._server.password}"\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "admin_users": self._server.username,
            "pool_mode": "transaction",
            "default_pool_size": 4,
            "max_client_conn": 200,
            "query_wait_timeout": 10,
            **({"user": _account()} if os.geteuid() == 0 else {}),
            **self._settings,
        }
        configured = "\n".join(f"{name} = {value}" for name, value in settings.items())
        ini = self._directory / "pgbouncer.ini"
        ini.write_text(
            f"[databases]\n* = host={self._server.host} port={self._server.port}\n[pgbouncer]\n{configured}\n"
        )
        self._process = child.spawn([program("pgbouncer"), ini], self._directory, self._log)
        self.port = port
        child.wait_until(lambda: "process up" in self._log.read_text(), self._process, self._log)


@contextmanager
def bouncer(database_url: str, **settings: object) -> Generator[Bouncer]:
    """One that runs; ``settings`` are those of its [pgbouncer] section. Skips where there is no such program."""
    program("pgbouncer")
    with tempfile.TemporaryDirectory(prefix="agentfleet-bouncer-") as directory:
        Path(directory).chmod(0o755)  # it refuses to be root, and reads its users again as somebody else
        made = Bouncer(database_url, Path(directory), settings)
        made.start()
        try:
            yield made
        finally:
            made.stop()


def _account() -> str:
    return next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
