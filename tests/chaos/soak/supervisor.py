"""Starts the processes of the fleet, and again whatever has ended, as Kubernetes would. On a thread of its own: however
long the nemesis is busy, what it has killed comes back.
"""

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agentfleet.dev.embedded import Urls
from tests.acceptance.fleet import PROVIDER_KEY, Process
from tests.chaos.link import Link
from tests.chaos.soak.history import History

LEASE = 2.0
HEARTBEAT = 0.5
LOOK_EVERY = 0.05
RESTART_AFTER = 0.3
"""Seconds: what cannot start yet should not keep the machine busy with trying."""
SETTINGS: Mapping[str, object] = {
    "agents": "tests.chaos.soak.agents",
    "lease": LEASE,
    "heartbeat": HEARTBEAT,
    "drain": 4,
    "republish_after": 1,
    "dispatch_poll": 0.2,
    "reconcile_poll": 0.2,
    "retry_base": 0.2,
    "retry_cap": 1,
    "max_attempts": 1000,  # the nemesis would use up any number that makes sense
    "provider_first_byte_timeout": 2,
    "provider_idle_timeout": 2,
    "pool_size": 2,
    "log_level": "info",
}
SIMULATOR = {"first_token_ms": 120, "token_ms": 4, "log_capacity": 1_000_000}
"""A model that takes a moment to think, and a log that forgets nothing."""


@dataclass(slots=True)
class Member:
    """One process that shall run, and the one that does."""

    name: str
    arguments: list[str]
    settings: Mapping[str, object]
    process: Process | None = None
    started: int = 0
    ended_at: float = 0.0
    ordered: set[int] = field(default_factory=set[int])
    """Process ids whose end the nemesis has ordered."""

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.code is None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self.process.pid if self.process is not None and self.running else None

    def send(self, signum: signal.Signals) -> int:
        """Send a signal; the process id that got it, or 0."""
        pid = self.pid
        if pid is None:
            return 0
        if signum in {signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT}:
            self.ordered.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
        return pid


class Supervisor:
    """Every process of the fleet but the servers; workers have a breakable link to each of theirs."""

    def __init__(self, urls: Urls, directory: Path, history: History, *, workers: int) -> None:
        self._directory, self._history, self._exits = directory, history, ExitStack()
        self._stop, self._thread = (
            threading.Event(),
            threading.Thread(target=self._tend, name="supervisor", daemon=True),
        )
        port, simulator_port = _port(), _port()
        self.url, self.simulator_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}"
        self.links: dict[str, dict[str, Link]] = {}
        self.members: dict[str, Member] = {}
        self.deaths: list[str] = []
        """Ends that nobody had ordered."""
        own = {"database_url": urls.database_url, "redis_url": urls.redis_url, "provider_base_url": self.simulator_url}
        config = directory / "simulator.json"
        config.write_text(json.dumps(SIMULATOR))
        self._add("simulator-0", "agentfleet.simulator", "--port", str(simulator_port), "--config", str(config), **own)
        for number in range(workers):
            name = f"worker-{number}"
            links = self.links[name] = {server: self._exits.enter_context(Link(url)) for server, url in own.items()}
            through = {server: link.url for server, link in links.items()}
            self._add(name, "workers.steps", **through)
        for number in range(2):
            self._add(f"dispatcher-{number}", "workers.dispatcher", **own)
            self._add(f"reconciler-{number}", "workers.reconciler", **own)
        self._add("ingress-0", "workers.ingress", **own, port=port)

    def _add(self, name: str, *arguments: str, **settings: object) -> None:
        self.members[name] = Member(name, list(arguments), {**SETTINGS, **settings})

    def kind(self, kind: str) -> list[Member]:
        """The members of one kind."""
        return [member for name, member in self.members.items() if name.rpartition("-")[0] == kind]

    @property
    def ready(self) -> bool:
        """Whether everything runs and says that it serves."""
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """Who does not, with its log's name."""
        processes = {name: member.process for name, member in self.members.items()}
        return [p.name if p else name for name, p in processes.items() if not (p and p.announced)]

    def start(self) -> None:
        """Start everything, and go on."""
        self._thread.start()

    def _tend(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for member in self.members.values():
            if member.running:
                continue
            if member.process is not None and not member.ended_at:
                member.ended_at = now
                self._note_end(member, member.process)
            if now - member.ended_at >= RESTART_AFTER or member.process is None:
                self._start(member)

    def _start(self, member: Member) -> None:
        log = self._directory / f"{member.name}-{member.started}"
        member.process = Process(member.arguments, self._environment(member.settings), log)
        member.started, member.ended_at = member.started + 1, 0.0

    def _note_end(self, member: Member, process: Process) -> None:
        expected = process.pid in member.ordered
        if not expected:
            self.deaths.append(f"{process.name} ended with {process.code}")
        self._history.add(
            "supervisor", "info", "end", name=process.name, pid=process.pid, code=process.code, expected=expected
        )

    def _environment(self, settings: Mapping[str, object]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTFLEET_", "ANTHROPIC_"))}
        ours = {f"AGENTFLEET_{name.upper()}": str(value) for name, value in settings.items()}
        return {
            **kept,
            **ours,
            "ANTHROPIC_API_KEY": PROVIDER_KEY,
            "AGENTFLEET_SOAK_DIRECTORY": str(self._directory),
        }

    def close(self) -> None:
        """Kill everything."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for member in self.members.values():
            member.send(signal.SIGKILL)
        for member in self.members.values():
            if member.process is not None:
                member.process.kill()
        self._exits.close()


def _port() -> int:
    """A free port that the kernel gives to nobody by itself: it must still be free when its process is started again."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
