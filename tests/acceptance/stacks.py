"""`agentfleet dev` and `agentfleet demo` as a stranger runs them: as processes, in a directory of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from agentfleet.client import Client

ROOT = Path(__file__).parents[2]
PATIENCE = 100.0
"""Seconds after which waiting is called a failure: the machine may be busy."""
OURS = ("AGENTFLEET_", "ANTHROPIC_", "FLOWER_")
Found = TypeVar("Found")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agentfleet.cli.main", *arguments]


def environment() -> dict[str, str]:
    """Ours without any setting, so that everything comes along; byte code is kept, since many processes start."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPATH": str(ROOT)}


@contextmanager
def place() -> Generator[Path]:
    """A directory that the account of Postgres may enter (pytest's own is closed to all others)."""
    directory = Path(tempfile.mkdtemp(prefix="agentfleet-test-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def until(condition: Callable[[], Found], what: str) -> Found:
    """Wait for a true value and return it; fails naming ``what``."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain until {what}")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Dev:
    """A running `agentfleet dev --print-env`."""

    def __init__(self, directory: Path, *arguments: str, **settings: object) -> None:
        self.directory, self._arguments = directory, arguments
        self._settings = {f"AGENTFLEET_{name.upper()}": str(value) for name, value in settings.items()}
        self.out, self.err = directory / "out", directory / "err"
        self.start()

    def start(self) -> None:
        self.env: dict[str, Any] = {}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command("dev", "--no-demo", "--print-env", "--port", "0", *self._arguments),
                cwd=self.directory,
                env=environment() | self._settings,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
            )

    def wait_until_ready(self) -> None:
        until(lambda: self.out.read_text().endswith("\n") or self.process.poll() is not None, "the stack is ready")
        assert self.process.poll() is None, self.said()
        self.env = json.loads(self.out.read_text())

    def said(self) -> str:
        return self.err.read_text()

    def client(self) -> Client:
        return Client(self.env["api_url"], self.env["api_key"])

    def pids(self) -> set[int]:
        """Every process that the stack told us about, and those that it started since."""
        restarted = [
            int(line.rpartition(" ")[2].rstrip(".")) for line in self.said().splitlines() if "started again" in line
        ]
        return {pid for pids in self.env["pids"].values() for pid in pids} | set(restarted)

    def kill(self, kind: str) -> None:
        """SIGKILL the first process of its kind, and wait until there is another."""
        before = self.said().count("started again")
        os.kill(self.env["pids"][kind][0], signal.SIGKILL)
        until(lambda: self.said().count("started again") > before, f"{kind} is started again")


@contextmanager
def dev(*arguments: str, **settings: object) -> Generator[Dev]:
    """A stack of a test's own, ready; whatever happens, it is gone afterwards."""
    with place() as directory:
        stack = Dev(directory, *arguments, **settings)
        try:
            stack.wait_until_ready()
            yield stack
        finally:
            stack.process.kill()  # what it started ends with it
            stack.process.wait()
            until(lambda: not any(alive(pid) for pid in stack.pids()) if stack.env else True, "the stack is gone")
