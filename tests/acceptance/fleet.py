"""A fleet of real processes on one database, one Redis and one simulator.

``Ground`` is what stays while workers come and go: the servers, a dispatcher, a reconciler. ``Fleet`` is one test's
stay on it: the workers it starts, the runs it submits, the files in which its tools meet it.
"""

import asyncio
import inspect
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from agentfleet.agents.agent import Agent
from agentfleet.agents.bundle import bundle_of
from agentfleet.bootstrap import Ingress
from agentfleet.dev.embedded import EmbeddedServer, Urls
from agentfleet.domain.plan import first_step
from agentfleet.simulator.serve import Running
from agentfleet.store.runs import NewRun
from tests import invariants
from tests.factories import execute
from tests.zygote import ROOT, zygote

ATTEMPTS = (
    "SELECT a.outcome, a.attempt, a.worker FROM attempts a JOIN steps s ON s.id = a.step_id"
    " WHERE s.run_id = ANY(%s::uuid[]) AND s.name = %s ORDER BY a.step_id, a.fence"
)
TENANT = "acme"
FLOWER_LOGIN = ("ops", "f1ower-canary")
PROVIDER_KEY = "sk-ant-canary-0123456789abcdef"
PATIENCE = 60.0
"""Seconds after which waiting is called a failure: the machine may be busy."""
LOOK_EVERY = 0.03


async def until(condition: Callable[[], object], what: str) -> Any:
    """Wait for a true value, which may have to be awaited, and return it; fails naming ``what``."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value := await value if inspect.isawaitable(value) else value:
            return value
        await asyncio.sleep(LOOK_EVERY)
    raise AssertionError(f"waited in vain until {what}")


class Process:
    """One process of the fleet, of the code in ``code``; what it prints goes to files."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path, code: Path = ROOT) -> None:
        self.name = log.name
        self._out, self._err, self._code = (log.with_name(f"{log.name}.{what}") for what in ("out", "err", "code"))
        self._out.touch()
        self._err.touch()
        self._zygote = zygote(code)
        self.pid = self._zygote.start(arguments, environment, log)
        urls = [urlsplit(environment[f"AGENTFLEET_{name}_URL"]).password for name in ("DATABASE", "REDIS")]
        self.secrets = [PROVIDER_KEY, FLOWER_LOGIN[1], *(password for password in urls if password)]

    @property
    def announced(self) -> dict[str, Any] | None:
        """The JSON line that it printed when it was ready."""
        line, complete, _ = self._out.read_text().partition("\n") if self._out.exists() else ("", "", "")
        return json.loads(line) if complete else None

    @property
    def code(self) -> int | None:
        """Its exit code; ``None`` while it runs."""
        if self._code.exists():
            return int(self._code.read_text())
        return None if self._zygote.alive else -signal.SIGKILL

    @property
    def ended_at(self) -> float:
        """When it ended, in Unix seconds."""
        return self._code.stat().st_mtime

    @property
    def printed(self) -> list[str]:
        """Every line that it printed, but the one that announces it, and one that its death cut off."""
        out, err = self._out.read_text().partition("\n")[2], self._err.read_text()
        return [line for text in (out, err) for line in text.split("\n")[:-1]]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log; fails on a line that is none."""
        return [json.loads(line) for line in self.printed]

    def logs_at(self, level: str) -> list[dict[str, Any]]:
        """Its log lines of one level."""
        return [line for line in self.lines if line["level"] == level]

    def logs(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of one event."""
        return [line for line in self.lines if line["event"] == event]

    async def ready(self) -> "Process":
        """Wait until it says so."""
        await until(lambda: self.announced or self.code is not None, f"{self.name} is ready")
        assert self.announced, f"{self.name} ended with {self.code}: {self.printed[-20:]}"
        return self

    def send(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.code is None:
            with suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
        while self.code is None:
            time.sleep(LOOK_EVERY)

    async def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.send(signum)
        return await self.wait()

    async def wait(self) -> int:
        await until(lambda: self.code is not None, f"{self.name} ends")
        assert self.code is not None
        return self.code


def _check_line(process: Process, line: dict[str, Any]) -> None:
    """What holds for every log line of every process: it says where it is from and hides every secret."""
    assert {"event", "level", "logger", "process", "ts"} <= line.keys(), f"{process.name}: {line}"
    if "step_id" in line and line["process"] != "reconciler":
        assert {"run_id", "tenant_id", "attempt"} <= line.keys(), f"{process.name}: {line}"
    for secret in process.secrets:
        assert secret not in json.dumps(line), f"{process.name} tells a secret: {line['event']}"


class Ground:
    """What stays between tests. ``start`` its two duties once."""

    def __init__(self, urls: Urls, simulator: Running, directory: Path) -> None:
        self.database_url, self.redis_url = urls.database_url, urls.redis_url
        self.postgres, self.redis = urls.started["postgres"], urls.started["redis"]
        self.simulator, self.directory = simulator, directory
        self.processes: list[Process] = []
        self.duties: list[Process] = []

    async def kill_redis(self) -> None:
        """SIGKILL; it keeps nothing. ``redis.revive()`` starts an empty one in its place."""
        await self._kill(self.redis)

    async def kill_postgres(self) -> None:
        """SIGKILL; what was committed stays. ``postgres.revive()`` starts it again."""
        await self._kill(self.postgres)

    async def _kill(self, server: EmbeddedServer) -> None:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: server.pid is None, f"{server.directory.name} is dead")

    def environment(self, **settings: object) -> dict[str, str]:
        """The environment of a process: short times, ours alone."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTFLEET_", "ANTHROPIC_"))}
        ours = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "agents": "tests.acceptance.agents",
            "provider_base_url": self.simulator.url,
            "lease": 2,
            "heartbeat": 0.5,
            "republish_after": 1,
            "drain": 20,
            "reconcile_poll": 0.2,
            "dispatch_poll": 0.2,
            "retry_base": 0.2,
            "retry_cap": 1,
            "pool_size": 2,
            "log_level": "info",
            **settings,
        }
        return {
            **kept,
            **{f"AGENTFLEET_{name.upper()}": str(value) for name, value in ours.items()},
            "ANTHROPIC_API_KEY": PROVIDER_KEY,
            "FLOWER_BASIC_AUTH": ":".join(FLOWER_LOGIN),
        }

    def start(self, *arguments: str, directory: Path | None = None, code: Path = ROOT, **settings: object) -> Process:
        """Start ``python -m ARGUMENTS`` with these settings."""
        name = next(argument for argument in arguments if argument.startswith("workers."))
        log = (directory or self.directory) / f"{name}-{len(self.processes)}"
        environment = self.environment(**settings) | {"AGENTFLEET_TEST_DIRECTORY": str(directory or self.directory)}
        process = Process(list(arguments), environment, log, code)
        self.processes.append(process)
        return process

    def start_duties(self) -> None:
        """Start the dispatcher and the reconciler; nobody has to wait for them."""
        self.duties = [self.start("workers.dispatcher"), self.start("workers.reconciler")]

    def stop(self) -> None:
        for process in self.processes:
            process.kill()


class Fleet:
    """One test's workers, runs and gates."""

    def __init__(self, ground: Ground, ingress: Ingress, directory: Path) -> None:
        self.ground, self.ingress, self.directory = ground, ingress, directory
        self.workers: list[Process] = []

    def start(self, *, sabotage: str | None = None, **settings: object) -> Process:
        """Start a step worker; it may not be ready yet."""
        how = [] if sabotage is None else ["tests.acceptance.sabotaged", sabotage]
        worker = self.ground.start(*how, "workers.steps", directory=self.directory, **settings)
        self.workers.append(worker)
        return worker

    async def worker(self, **settings: Any) -> Process:
        """Start a step worker and wait until it takes steps."""
        return await self.start(**settings).ready()

    async def submit(self, agent: Agent, count: int = 1) -> list[str]:
        """Submit runs; their ids."""
        bundle = bundle_of(agent)
        await self.ingress.bundles.save(bundle)
        content = json.dumps([{"type": "text", "text": "Go."}])
        new = [
            NewRun(agent.name, bundle.id, agent.pool, '"Go."', content, first_step(agent.model)) for _ in range(count)
        ]
        await asyncio.gather(*(self.ingress.submit(TENANT, run) for run in new))
        await self.ingress.publisher.flush()
        return [run.run_id for run in new]

    def open(self, gate: str = "open") -> None:
        """Let the tools behind this gate go on."""
        (self.directory / gate).touch()

    def calls(self, tool: str) -> list[list[str]]:
        """Run id, effect key, attempt and process id of every call of a tool that notes them."""
        file = self.directory / "calls"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [line[1:] for line in lines if line[0] == tool]

    async def called(self, tool: str, times: int = 1) -> None:
        """Wait until a tool was called so often."""
        await until(lambda: len(self.calls(tool)) >= times, f"{tool} was called {times} times")

    def query(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        return execute(self.ground.database_url, statement, *params)

    def states(self, run_ids: list[str]) -> list[str]:
        return [row[0] for row in self.query("SELECT state FROM runs WHERE id = ANY(%s::uuid[])", run_ids)]

    async def finished(self, run_ids: list[str], state: str = "succeeded") -> None:
        """Wait until all of these runs have ended in ``state``; then check everything that must always hold."""
        await until(
            lambda: set(self.states(run_ids)) <= {"succeeded", "failed", "cancelled", "expired", "needs_review"},
            f"runs end: {self.states(run_ids)}",
        )
        assert self.states(run_ids) == [state] * len(run_ids)
        await self.settled()
        invariants.check(self.ground.database_url)

    async def settled(self) -> None:
        """Wait until no worker holds anything any more."""
        await until(lambda: not self.query("SELECT FROM steps WHERE state = 'running'"), "nothing runs")

    def settlements(self) -> int:
        """How many steps have succeeded so far."""
        return self.query("SELECT count(*) FROM attempts WHERE outcome = 'succeed'")[0][0]

    def outcomes(self, run_ids: list[str], name: str) -> list[tuple[str, int, str]]:
        """Outcome, attempt and worker of every attempt at the steps of this name, in order."""
        return [(row[0], row[1], row[2].rpartition(":")[2]) for row in self.query(ATTEMPTS, run_ids, name)]

    def close(self) -> None:
        """Kill what is left, end what still runs, and look through the logs."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.send(signal.SIGCONT)
            worker.kill()
        self._forget_runs()
        for process in [*self.ground.duties, *self.workers]:
            for line in process.lines:
                _check_line(process, line)

    def _forget_runs(self) -> None:
        while True:
            with suppress(psycopg.errors.DeadlockDetected):  # the duties are at work
                self.query("TRUNCATE runs, dead_letters, batches CASCADE")
                return
