"""One soak from the first process to the verdict."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from agentfleet.dev.embedded import servers
from agentfleet.dev.prepare import new_key
from agentfleet.settings import Settings
from agentfleet.store import migrate
from tests.chaos.checker import Violation, check
from tests.chaos.soak.dump import calls, dump, most_at_once, quiet
from tests.chaos.soak.field import Field
from tests.chaos.soak.history import History, Op, read
from tests.chaos.soak.load import Load
from tests.chaos.soak.nemesis import Nemesis
from tests.chaos.soak.supervisor import LEASE, Supervisor

TENANTS = ("acme", "globex", "initech")
TICK = 0.05
SAY_EVERY = 3.0
START = 120.0
"""Seconds within which everything must serve."""
DEADLINE = 60.0
"""Seconds after the last fault within which everything that was accepted must be at rest."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    history: list[Op]
    violations: list[Violation]
    runs: int
    notes: list[str]


class Play:
    """One soak in ``directory``; ``wanted`` is the command line: ``seconds seed workers clients at_once``."""

    def __init__(self, directory: Path, wanted: Namespace) -> None:
        self._directory, self._wanted = directory, wanted
        (directory / "world").mkdir(parents=True, exist_ok=True)
        self._history = History(directory / "operations.jsonl")
        self._began = time.monotonic()

    def run(self) -> Verdict:
        """Play it; whatever happens, nothing is left running."""
        wanted = self._wanted
        with ExitStack() as stack:
            stack.callback(self._history.close)
            self._say("starting")
            urls = stack.enter_context(servers(Path(), ephemeral=True))
            migrate.upgrade(urls.database_url)
            settings = Settings(database_url=urls.database_url, redis_url=urls.redis_url)
            keys = {name: asyncio.run(new_key(settings, urls.database_url, name, "soak")) for name in TENANTS}
            supervisor = Supervisor(urls, self._directory, self._history, workers=wanted.workers)
            stack.callback(supervisor.close)
            load = Load(supervisor.url, keys, self._history, wanted.seed, clients=wanted.clients)
            field = Field(urls, supervisor, load)
            stack.callback(field.close)
            rng = Random(wanted.seed)  # must be repeatable
            nemesis = Nemesis(field, self._history, rng, at_once=wanted.at_once)
            stack.callback(nemesis.heal)
            stack.callback(load.abandoned.set)
            return self._acts(field, nemesis, load)

    def _acts(self, field: Field, nemesis: Nemesis, load: Load) -> Verdict:
        supervisor = field.supervisor
        supervisor.start()
        if not self._until(START, lambda: supervisor.ready, lambda: "waiting for the fleet"):
            raise RuntimeError(f"not ready: {', '.join(supervisor.missing)}")

        def breaking() -> bool:
            nemesis.tick()
            return False

        def told() -> str:
            under_way = ", ".join(nemesis.under_way) or "nothing"
            return f"runs {load.settled}/{load.submitted}  faults {nemesis.dealt}  broken: {under_way}"

        load.start()
        self._until(self._wanted.seconds, breaking, told)
        nemesis.heal()
        load.stopping.set()
        url = field.urls.database_url
        self._until(DEADLINE, lambda: load.ended() and _quiet(url), told)
        load.abandoned.set()
        ops = list(dump(url))
        self._history.extend([*ops, *calls(field.requests())])
        self._history.add("soak", "ok", "quiesce", ttl=LEASE, most_in_flight=most_at_once(ops))
        history = read(self._history.path, self._directory / "effects.jsonl")
        return Verdict(history, check(history), sum(op.f == "run" for op in ops), supervisor.deaths)

    def _until(self, seconds: float, done: Callable[[], bool], told: Callable[[], str]) -> bool:
        """Wait until ``done()``, for ``seconds`` at most; whether it was."""
        ends, says = time.monotonic() + seconds, time.monotonic() + SAY_EVERY
        while time.monotonic() < ends:
            if done():
                return True
            if time.monotonic() >= says:
                says += SAY_EVERY
                self._say(told())
            time.sleep(TICK)
        return False

    def _say(self, line: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", flush=True)


def _quiet(database_url: str) -> bool:
    try:
        return quiet(database_url)
    except psycopg.OperationalError:
        return False
