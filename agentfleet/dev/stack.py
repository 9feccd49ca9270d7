"""The whole fleet on one machine.

    with Stack(StackOptions(), Quiet()) as stack:
        stack.env          # where everything is
        stack.tend()       # every now and then: what has died is started again

Enter it in the main thread: the kernel ends every process of the stack with the thread that started it, so that
nothing survives a killed parent.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Protocol, Self

from agentfleet.agents.registry import Registry
from agentfleet.dev.child import POLL_SECONDS, START_SECONDS
from agentfleet.dev.embedded import Urls, servers
from agentfleet.dev.env import StackEnv
from agentfleet.dev.environment import extend_import_path
from agentfleet.dev.errors import ServerFailed, StackFailed
from agentfleet.dev.prepare import choose_port, usable_key
from agentfleet.dev.process import Process
from agentfleet.dev.programs import StackOptions, agent_modules, plan_env, programs
from agentfleet.dev.targets import save_targets
from agentfleet.settings import Settings
from agentfleet.store import migrate

FIRST_TO_STOP = "steps"
"""Workers finish or hand back their steps while the rest still serves."""
NEEDS_NO_SERVER = "simulator"
GRACE = 5.0
"""Seconds beyond its drain that a process may take to end before it is killed."""


class Telling(Protocol):
    """Who is told what happens."""

    def say(self, line: str) -> None:
        """Something worth keeping."""
        ...

    def progress(self, line: str) -> None:
        """What is being waited for at the moment; empty: nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Restart:
    """A process that died, and the one that was started in its place."""

    name: str
    how: str
    pid: int | None


class Stack:
    """Servers, schema, key, and every process of the fleet, for as long as the context lasts."""

    def __init__(self, options: StackOptions, telling: Telling) -> None:
        self.options, self.settings = options, Settings()
        self.data_dir = options.data_dir.resolve()
        self.logs = self.data_dir / "logs"
        self._telling = telling
        self._urls: Urls
        self._processes: list[Process] = []
        self._draining: dict[Process, float] = {}
        self._exits = ExitStack()
        self.env: StackEnv
        self.metrics_targets: Path
        """A file for Prometheus' `file_sd_configs`."""

    def __enter__(self) -> Self:
        """Start everything and wait until it serves.

        Raises:
            StackFailed: a process ended, or was not ready after START_SECONDS.
            EmbeddedError: a server cannot be run here.
            InvalidInput: the agents' modules cannot be used.
        """
        extend_import_path()
        Registry.load(agent_modules(self.options, self.settings))  # a mistake in them is told here, not in a log
        with ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def pids(self) -> dict[str, list[int]]:
        """The process ids by kind, in the order of their numbers."""
        found: dict[str, list[int]] = defaultdict(list)
        for process in (*self._processes, *self._draining):
            found[process.program.kind] += [process.pid] if process.pid is not None else []
        for kind, server in self._urls.started.items():
            found[kind] += [server.pid] if server.pid is not None else []
        return dict(found)

    @property
    def workers(self) -> int:
        """How many step workers there are to be; those that drain are none of them."""
        return len(self._workers())

    def resize(self, workers: int) -> None:
        """Have so many step workers: start more at once, or let the youngest finish their steps and end."""
        while (have := self._workers())[workers:]:
            self._processes.remove(youngest := have[-1])
            youngest.terminate()
            self._draining[youngest] = time.monotonic() + self.settings.drain + GRACE
        while len(have := self._workers()) < workers:
            taken = {process.program.number for process in (*have, *self._draining)}
            number = next(number for number in count(1) if number not in taken)
            process = Process(replace(self._step_program, number=number), self.logs)
            process.start()
            self._processes.append(process)
        save_targets(self.data_dir, self._processes)

    def tend(self) -> list[Restart]:
        """Start again what has died, servers first; returns what was started."""
        restarts: list[Restart] = []
        for process, deadline in list(self._draining.items()):
            if process.running and time.monotonic() > deadline:
                process.kill()
            if not process.running:
                del self._draining[process]
        for kind, server in self._urls.started.items():
            if server.pid is None:
                try:
                    server.revive()
                except ServerFailed:  # its orphans may still hold its memory: the next look tries again
                    continue
                restarts.append(Restart(kind, "died", server.pid))
        for process in self._processes:
            if process.may_start:
                how = process.ended()
                process.start()
                restarts.append(Restart(process.program.name, how, process.pid))
        return restarts

    def _start(self, exits: ExitStack) -> None:
        self._telling.progress("starting Postgres and Redis")
        exits.callback(self._telling.progress, "")
        settings = self.settings
        urls = self._urls = exits.enter_context(servers(self.data_dir, settings.database_url, settings.redis_url))
        port, note = choose_port(self.options.port, settings.port)
        for line in (*urls.notes, *([note] if note else [])):
            self._telling.say(line)
        env = plan_env(settings, urls, port, agents=",".join(agent_modules(self.options, settings)))
        self.logs.mkdir(parents=True, exist_ok=True)
        planned = list(programs(self.options, settings, env))
        self._step_program = next(program for program in planned if program.kind == FIRST_TO_STOP)
        self._processes = [Process(program, self.logs) for program in planned]
        for process in self._processes:
            process.log.unlink(missing_ok=True)  # of an earlier session; restarts append
        self.metrics_targets = save_targets(self.data_dir, self._processes)
        exits.enter_context(self._stopping())
        self._launch(lambda process: process.program.kind == NEEDS_NO_SERVER)
        self._telling.progress("migrating the schema")
        migrate.upgrade(urls.database_url)
        self._launch(lambda process: process.program.kind != NEEDS_NO_SERVER)
        earlier = StackEnv.load(self.data_dir)
        self.env = replace(env, api_key=usable_key(settings, urls.database_url, earlier and earlier.api_key))
        self.env.save(self.data_dir)
        self._wait_until_ready()

    def _workers(self) -> list[Process]:
        """From the oldest to the youngest."""
        return [process for process in self._processes if process.program.kind == FIRST_TO_STOP]

    def _launch(self, chosen: Callable[[Process], bool]) -> None:
        for process in filter(chosen, self._processes):
            process.start()

    def _wait_until_ready(self) -> None:
        waiting, deadline = list(self._processes), time.monotonic() + START_SECONDS
        while waiting := [process for process in waiting if not process.ready()]:
            if time.monotonic() > deadline:
                late = waiting[0]
                raise StackFailed(f"{late.program.name} is not ready after {START_SECONDS} s. {late.last_words()}")
            self._telling.progress("waiting for " + ", ".join(process.program.name for process in waiting))
            time.sleep(POLL_SECONDS)
        self._telling.progress("")

    @contextmanager
    def _stopping(self) -> Generator[None]:
        """End the processes with the context: workers drain while the rest still serves, then the rest ends."""
        try:
            yield
        finally:
            workers = self._workers()
            try:
                self._stop([*workers, *self._draining])
                self._stop([process for process in self._processes if process not in workers])
            finally:  # interrupted once more: at once, then
                for process in (*self._processes, *self._draining):
                    process.kill()

    def _stop(self, processes: Sequence[Process]) -> None:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + self.settings.drain + GRACE
        for process in processes:
            if process.running:
                self._telling.progress(f"waiting for {process.program.name} to drain (Ctrl-C again: at once)")
            if not process.wait(deadline - time.monotonic()):
                self._telling.say(f"{process.program.name} did not end in time: killed.")
                process.kill()
