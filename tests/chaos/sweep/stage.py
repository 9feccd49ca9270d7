"""What one case plays on: a database, a prefix in Redis, a directory and processes of its own, on shared servers."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from redis.asyncio import Redis

from agentfleet import bootstrap
from agentfleet.agents.bundle import bundle_of
from agentfleet.dev.embedded import Urls
from agentfleet.domain.plan import first_step
from agentfleet.settings import Settings
from agentfleet.simulator.scripts import Script
from agentfleet.simulator.serve import Running
from agentfleet.store.runs import NewRun
from tests import invariants
from tests.acceptance.fleet import TENANT, Ground, Process, until
from tests.chaos.sweep.agents import SCRIPT, sweep
from tests.conftest import with_database

LEASE, HEARTBEAT, REPUBLISH_AFTER = 2.0, 0.5, 1.5
AGENTS = "tests.chaos.sweep.agents"
PICTURE = """
    SELECT md5(string_agg(line, ';' ORDER BY line)) FROM (
        SELECT r::text FROM runs r WHERE r.id = %(run)s
        UNION ALL SELECT s::text FROM steps s WHERE s.run_id = %(run)s
        UNION ALL SELECT a::text FROM attempts a JOIN steps s ON s.id = a.step_id WHERE s.run_id = %(run)s
        UNION ALL SELECT m::text FROM messages m WHERE m.run_id = %(run)s
        UNION ALL SELECT e::text FROM run_events e WHERE e.run_id = %(run)s
        UNION ALL SELECT d::text FROM dead_letters d WHERE d.run_id = %(run)s
    ) AS lines(line)
"""
"""Everything that is known of a run, in a word."""


@dataclass(frozen=True, slots=True)
class World:
    """The servers. ``template`` is a migrated database that nobody is connected to."""

    urls: Urls
    template: str
    simulator: Running
    directory: Path
    creating: asyncio.Lock = field(default_factory=asyncio.Lock)
    """A template is copied by one at a time."""

    def tell(self) -> "World":
        """Teach the simulator the script, and return this."""
        script = Script.model_validate(SCRIPT)
        self.simulator.simulator.scripts[script.name] = script
        return self


class Stage:
    """See above. Every wait fails after the patience of ``until``."""

    def __init__(self, ground: Ground, parts: bootstrap.Ingress, db: psycopg.AsyncConnection[Any], name: str) -> None:
        self.ground, self.parts, self.db, self.name = ground, parts, db, name
        self.redis: Redis = parts.redis
        self.queue = f"{name}.steps.default"
        self.runs: list[str] = []

    def start(self, kind: str, spec: str | None = None, **settings: object) -> Process:
        """Start a process that breaks as ``spec`` says; it may not be ready yet."""
        failpoint = {} if spec is None else {"failpoint": spec}
        return self.ground.start(
            f"workers.{kind}",
            agents=AGENTS,
            redis_prefix=self.name,
            **{"port": 0, "lease": LEASE, "heartbeat": HEARTBEAT, "republish_after": REPUBLISH_AFTER, "pool_size": 1}
            | {"retry_base": 0.05, "retry_cap": 0.1, "max_wait": 5, **failpoint, **settings},
        )

    async def submit(self, deadline: float | None = None) -> str:
        """A run; its id. Its name stands in what the model reads, so that the simulator knows it."""
        bundle = bundle_of(sweep)
        await self.parts.bundles.save(bundle)
        content = json.dumps([{"type": "text", "text": f"Go {self.name}-{len(self.runs)}."}])
        first = first_step(sweep.model)
        run = NewRun(sweep.name, bundle.id, sweep.pool, '"Go."', content, first, deadline=deadline)
        await self.parts.submit(TENANT, run)
        await self.parts.publisher.flush()
        self.runs.append(run.run_id)
        return run.run_id

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        cursor = await self.db.execute(query.encode(), values or None)
        return await cursor.fetchall()

    async def holds(self, query: str, what: str, **values: object) -> None:
        """Wait until the query has a row."""
        await until(lambda: self.rows(query, **values), what)

    async def state(self, run: str) -> str:
        return (await self.rows("SELECT state FROM runs WHERE id = %(run)s", run=run))[0][0]

    async def ended(self, run: str, *states: str) -> str:
        """Wait until the run has ended, or a human is needed; fails when that is none of ``states``."""
        final = "SELECT FROM runs WHERE id = %(run)s AND (finished_at IS NOT NULL OR state = 'needs_review')"
        await self.holds(final, f"the run ends as one of {states}", run=run)
        state = await self.state(run)
        assert state in states, f"the run ended as {state}, not as one of {states}"
        return state

    async def cut_off(self) -> bool:
        """Whether an unsafe tool is between its start and its settle."""
        return bool(await self.rows("SELECT FROM steps WHERE state = 'running' AND effect = 'unsafe'"))

    async def picture(self, run: str) -> object:
        return (await self.rows(PICTURE, run=run))[0][0]

    def file(self, name: str) -> Path:
        """A file in which the tools and the test meet."""
        return self.ground.directory / name

    def calls(self, tool: str, run: str) -> list[str]:
        """The effect keys of all calls of a tool in a run."""
        lines = self.file("calls").read_text().split("\n")[:-1] if self.file("calls").exists() else []
        return [key for name, run_id, key in map(str.split, lines) if (name, run_id) == (tool, run)]

    def asked(self, run: str) -> int:
        """How often the model was called for a run."""
        entries = list(self.ground.simulator.simulator.log.entries)
        return sum(entry.tags.get("x-agentfleet-run") == run for entry in entries)

    async def quiet(self) -> None:
        """Wait until nothing is under way; then check everything that must always hold."""
        await self.holds(
            "SELECT WHERE NOT EXISTS (SELECT FROM steps s JOIN runs r ON r.id = s.run_id WHERE r.finished_at IS NULL"
            " AND r.state <> 'needs_review' AND r.id = ANY(%(runs)s::uuid[]))"
            " AND NOT EXISTS (SELECT FROM steps WHERE state = 'running')",
            "the pool settles down",
            runs=self.runs,
        )
        invariants.check(self.ground.database_url)
        for run in self.runs:
            for tool in ("note", "charge"):
                keys = self.calls(tool, run)
                assert len(set(keys)) <= 1, f"{tool} was called with several effect keys: {keys}"
            assert len(self.calls("charge", run)) <= 1, "an unsafe tool was called twice"
            if await self.state(run) == "succeeded":
                assert self.calls("note", run), "a run succeeded without its tool"
                assert self.calls("charge", run), "a run succeeded without its tool"
            turns = len(await self.rows("SELECT FROM messages WHERE run_id = %(r)s AND role = 'assistant'", r=run))
            assert self.asked(run) <= turns + 1, f"the model was called {self.asked(run)} times for {turns} turns"

    def close(self) -> None:
        for process in self.ground.processes:
            with suppress(ProcessLookupError):
                process.send(signal.SIGCONT)
        self.ground.stop()
        for process in self.ground.processes:
            assert said(process, "") == [], "every line is JSON"


@asynccontextmanager
async def stage(world: World, name: str) -> AsyncIterator[Stage]:
    """A fresh one; nothing is left of it afterwards."""
    admin = partial(psycopg.AsyncConnection.connect, with_database(world.urls.database_url, "postgres"))
    async with world.creating, await admin(autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {world.template}".encode())
    directory = world.directory / name
    directory.mkdir()
    url = with_database(world.urls.database_url, name)
    ground = Ground(world.urls._replace(database_url=url), world.simulator, directory)
    settings = Settings(database_url=url, redis_url=world.urls.redis_url, redis_prefix=name, pool_size=1)
    async with bootstrap.ingress(settings) as parts, await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        made = Stage(ground, parts, db, name)
        try:
            yield made
        finally:
            made.close()
    async with await admin(autocommit=True) as connection:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def said(process: Process, event: str) -> list[dict[str, Any]]:
    """Its log lines of one event; none as long as it has not even begun."""
    with suppress(FileNotFoundError):
        return process.logs(event)
    return []


def printed(processes: Sequence[Process]) -> str:
    """The ends of their logs, for whoever has to find out."""
    lines = list[str]()
    for process in processes:
        lines.append(f"--- {process.name} (ended: {process.code})")
        with suppress(FileNotFoundError):
            lines += process.printed[-15:]
    return "\n".join(lines)
