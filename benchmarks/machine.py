"""Servers, processes and their CPU: what every benchmark stands on."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from redis import Redis

from agentfleet.dev.embedded import servers

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Machine:
    """Durable servers of our own (fsync and synchronous commit on) and where they are."""

    database_url: str
    redis_url: str

    def fresh(self, name: str) -> str:
        """An empty database and an empty Redis; the database's URL."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
            connection.execute("CHECKPOINT")
        Redis.from_url(self.redis_url).flushall()
        return self.database_url.rsplit("/", 1)[0] + f"/{name}"


@contextmanager
def machine() -> Generator[Machine]:
    """Embedded servers in a temporary directory, with their durable settings."""
    with tempfile.TemporaryDirectory(prefix="agentfleet-bench-") as directory, servers(Path(directory)) as urls:
        yield Machine(urls.database_url, urls.redis_url)


@contextmanager
def processes(commands: list[list[str]], environment: Mapping[str, str]) -> Generator[list[psutil.Process]]:
    """Run Python modules until the block ends; their output goes to files that are shown when one dies."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with tempfile.TemporaryDirectory(prefix="agentfleet-bench-logs-") as logs:
        started = list[subprocess.Popen[bytes]]()
        for number, command in enumerate(commands):
            with Path(logs, f"{number}.log").open("wb") as log:
                started.append(
                    subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=ROOT, stdout=log, stderr=log)
                )
        try:
            yield [psutil.Process(process.pid) for process in started]
            for number, process in enumerate(started):
                if process.poll() is not None:
                    raise RuntimeError(f"{commands[number]} died:\n{Path(logs, f'{number}.log').read_text()[-2000:]}")
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    process.kill()


def cpu_seconds(parents: list[psutil.Process]) -> float:
    """User and system time of the processes and all their children, dead ones included."""
    total = 0.0
    for parent in parents:
        for process in [parent, *parent.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def server_processes() -> list[psutil.Process]:
    """The embedded servers of this process."""
    return [child for child in psutil.Process().children() if child.name().startswith(("postgres", "valkey"))]


def busy_elsewhere(own: list[psutil.Process], seconds: float = 1.0) -> float:
    """Cores that others use right now: how noisy this machine is."""
    before, start = psutil.cpu_times(), cpu_seconds([*own, psutil.Process()])
    time.sleep(seconds)
    after = psutil.cpu_times()
    busy = sum(after) - sum(before) - (after.idle - before.idle)
    return max(0.0, (busy - (cpu_seconds([*own, psutil.Process()]) - start)) / seconds)
