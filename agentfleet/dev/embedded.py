"""Real servers in the box: the Postgres and Redis that `agentfleet dev`, `make demo` and the tests run on.

    with servers(Path(".agentfleet"), settings.database_url, settings.redis_url) as urls:
        ...

A URL that is given always wins. Otherwise a server from a wheel is started on a free port of 127.0.0.1, keeps its data
in the directory, and ends with the context, or with this process, however that ends. To exchange a server, write
another class with `start()` and `stop()`.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from agentfleet.dev.errors import EmbeddedBusy, EmbeddedError, EmbeddedUnavailable, ServerFailed
from agentfleet.dev.postgres import EmbeddedPostgres
from agentfleet.dev.valkey import EmbeddedRedis

__all__ = [
    "EmbeddedBusy",
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedRedis",
    "EmbeddedServer",
    "EmbeddedUnavailable",
    "ServerFailed",
    "Urls",
    "servers",
]

ROOM = 8 * 1024**3
"""Bytes that must be free in memory before tests' servers keep their data there."""


class EmbeddedServer(Protocol):
    """One server that lives no longer than this process."""

    @property
    def directory(self) -> Path:
        """Where its data is."""
        ...

    def start(self) -> str:
        """Start it and return its URL once it accepts connections."""
        ...

    def stop(self) -> None:
        """End it cleanly; does nothing when it does not run."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process while it runs."""
        ...

    def revive(self) -> None:
        """Start it again on the same URL after it died."""
        ...


class Urls(NamedTuple):
    """Where the servers are, what a person should know about them (sentences, usually none), and those we started."""

    database_url: str
    redis_url: str
    notes: tuple[str, ...] = ()
    started: Mapping[str, EmbeddedServer] = MappingProxyType({})


@contextmanager
def servers(
    data_dir: Path, database_url: str | None = None, redis_url: str | None = None, *, ephemeral: bool = False
) -> Generator[Urls]:
    """Yield the URLs of a Postgres and a Redis, starting those that are not given.

    The data stays in `data_dir` for the next time. `ephemeral` servers are for tests: they leave `data_dir` alone, use
    a directory of their own below the system's temporary one, skip fsync, and take their data with them. Enter from a
    thread that lives as long as the servers shall: they end with it.

    Raises:
        EmbeddedUnavailable: a server is needed that this machine cannot run.
        EmbeddedBusy: another process runs its servers in `data_dir`.
        ServerFailed: a server did not come up.
    """
    with ExitStack() as stack:
        notes: list[str] = []
        started: dict[str, EmbeddedServer] = {}
        if not (database_url and redis_url):
            data_dir = stack.enter_context(_temporary() if ephemeral else _locked(data_dir))
        if not database_url:
            started["postgres"] = EmbeddedPostgres(data_dir, durable=not ephemeral)
            database_url = _run(stack, started["postgres"], data_dir, notes)
        if not redis_url:
            started["redis"] = EmbeddedRedis(data_dir, durable=not ephemeral)
            redis_url = _run(stack, started["redis"], data_dir, notes)
        yield Urls(database_url, redis_url, tuple(notes), started)


def _run(stack: ExitStack, server: EmbeddedServer, data_dir: Path, notes: list[str]) -> str:
    url = server.start()
    stack.callback(server.stop)
    if server.directory.parent != data_dir:
        notes.append(f"PostgreSQL, which does not run as root, cannot enter {data_dir}: it uses {server.directory}.")
    return url


def _memory() -> Path | None:
    """A file system in memory with room for tests' servers: making a database is half as dear there. Linux has one."""
    place = Path("/dev/shm")  # noqa: S108  # a directory of our own in it, which only its owner may enter
    with suppress(OSError):
        room = os.statvfs(place)
        if os.access(place, os.W_OK | os.X_OK) and room.f_bavail * room.f_frsize >= ROOM:
            return place
    return None


@contextmanager
def _temporary() -> Generator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="agentfleet-", dir=_memory()))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def _locked(data_dir: Path) -> Generator[Path]:
    data_dir = data_dir.resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        message = f"{data_dir} belongs to another user (was it made by root?): remove it or give it to yourself."
        raise EmbeddedError(message) from error
    with os.fdopen(lock, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"Process {file.read().strip()} runs its servers in {data_dir}: stop it, or choose another directory."
            )
            raise EmbeddedBusy(message) from error
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield data_dir
