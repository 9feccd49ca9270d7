"""One process of the fleet: started, watched, started again when it dies, stopped."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentfleet.dev import child
from agentfleet.dev.environment import child_environment
from agentfleet.dev.errors import StackFailed

PATIENCE = 2.0  # seconds between two starts: what dies sooner probably still has its fault


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: `python -m <arguments>`, the `number`th of its `kind`."""

    kind: str
    number: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int | None = None
    """Where it listens on 127.0.0.1: ready is who accepts a connection there. `None`: who says so on stdout."""
    metrics_port: int | None = None
    """Of 127.0.0.1; 0: a free one, which it is told. `None`: it serves none."""

    @property
    def name(self) -> str:
        """`steps-2`."""
        return f"{self.kind}-{self.number}"


class Process:
    """A program that runs. Its output is appended to `<logs>/<name>.log`."""

    def __init__(self, program: Program, logs: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self.metrics_port, self._environment = program.metrics_port, dict(program.environment)
        if self.metrics_port == 0:
            self.metrics_port = child.free_port()
            self._environment["AGENTFLEET_METRICS_PORT"] = str(self.metrics_port)
        self._server: child.Server | None = None
        self._begun = 0.0
        self._log_offset = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._server.pid if self.running and self._server is not None else None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._server is not None and self._server.poll() is None

    @property
    def may_start(self) -> bool:
        """Whether it has ended and may be started again: not sooner than PATIENCE after its last start."""
        return not self.running and time.monotonic() - self._begun > PATIENCE

    def start(self) -> None:
        """Start it in a session of its own; it is killed with this process, however that ends."""
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        self._begun = time.monotonic()
        self._server = child.spawn(
            [sys.executable, "-m", *self.program.arguments],
            Path.cwd(),
            self.log,
            environment=child_environment(self._environment),
            death_signal=signal.SIGKILL,
            append=True,
        )

    def ready(self) -> bool:
        """Whether it serves.

        Raises:
            StackFailed: it has ended.
        """
        if not self.running:
            raise StackFailed(f"{self.program.name} {self.ended()} while it started. {self.last_words()}")
        if self.program.port is not None:
            return _accepts(self.program.port)
        return announced(self._output())

    def ended(self) -> str:
        """How it ended, in words."""
        status = self._server.returncode if self._server is not None else None
        if status is not None and status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit code {status}"

    def last_words(self) -> str:
        """Which log to read, and its end."""
        tail = "\n".join(f"  {line}" for line in self._output()[-child.LAST_WORDS :].splitlines())
        return f"Its log is {self.log}:\n{tail or '  (empty)'}"

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.running and self._server is not None:
            self._server.terminate()

    def kill(self) -> None:
        """End it at once (SIGKILL), with all that it has started."""
        if self.running and self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        try:
            if self._server is not None:
                self._server.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _output(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def announced(output: str) -> bool:
    """Whether there is the line that every process prints once it serves: {"url": ...} or {"ready": ...}."""
    for line in output.splitlines():
        if line.startswith(('{"url"', '{"ready"')):
            with contextlib.suppress(ValueError):  # not yet written to its end
                if "event" not in json.loads(line):  # a log line is no announcement
                    return True
    return False
