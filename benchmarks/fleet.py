"""agentfleet under the workload: throughput, latency, sleepers. Every promise is on."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import psutil
import psycopg

from agentfleet import bootstrap
from agentfleet.agents.agent import Agent
from agentfleet.agents.bundle import bundle_of
from agentfleet.domain.plan import first_step
from agentfleet.settings import Settings
from agentfleet.store import migrate
from agentfleet.store.runs import NewRun
from benchmarks.machine import Machine, cpu_seconds, processes, server_processes
from benchmarks.workload import STEPS_PER_RUN, bench, sleeper

CONTENT = json.dumps([{"type": "text", "text": "go"}])


@dataclass(frozen=True, slots=True)
class Throughput:
    steps_per_s: float
    cpu_ms_per_step: float
    """Workers, dispatcher, reconciler, Postgres and Redis; without the load driver."""
    steps: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running fleet: where it is, and its processes."""

    database_url: str
    settings: Settings
    workers: list[psutil.Process]
    all: list[psutil.Process]


@contextmanager
def fleet(
    machine: Machine, name: str, *, workers: int, sleep: float = 0.0, also: Mapping[str, str] | None = None
) -> Generator[Fleet]:
    """Start ``workers`` step workers, a dispatcher and a reconciler on a fresh database, and warm them up."""
    url = machine.fresh(name)
    migrate.upgrade(url)
    environment = {
        "AGENTFLEET_DATABASE_URL": url,
        "AGENTFLEET_REDIS_URL": machine.redis_url,
        "AGENTFLEET_LOG_LEVEL": "warning",
        "AGENTFLEET_AGENTS": "benchmarks.workload",
        "AGENTFLEET_PROVIDER": "benchmarks.workload:make_model",
        "AGENTFLEET_BENCH_SLEEP": str(sleep),
        **(also or {}),
    }
    settings = Settings(database_url=url, redis_url=machine.redis_url, agents=("benchmarks.workload",))
    commands = [["workers.steps"]] * workers + [["workers.dispatcher"], ["workers.reconciler"]]
    with processes(commands, environment) as started:
        if not sleep:
            asyncio.run(_closed_loop(settings, bench, runs=50 * workers, in_flight=50))
        yield Fleet(url, settings, started[:workers], started)


def throughput(fleet: Fleet, *, runs: int, in_flight: int) -> Throughput:
    """Keep ``in_flight`` runs under way until ``runs`` have ended."""
    measured = [*fleet.all, *server_processes()]
    before, start = cpu_seconds(measured), time.monotonic()
    asyncio.run(_closed_loop(fleet.settings, bench, runs=runs, in_flight=in_flight))
    elapsed, spent = time.monotonic() - start, cpu_seconds(measured) - before
    steps = runs * STEPS_PER_RUN
    return Throughput(steps / elapsed, spent / steps * 1000, steps)


def step_to_step(fleet: Fleet, *, runs: int) -> list[float]:
    """Milliseconds from the start of a step to the start of the next, with one run in flight; sorted."""
    with psycopg.connect(fleet.database_url) as connection:
        (known,) = connection.execute("SELECT max(id::text) FROM runs").fetchone() or (None,)
        asyncio.run(_closed_loop(fleet.settings, bench, runs=runs, in_flight=1, poll=0.005))
        rows = connection.execute(
            """
            SELECT extract(epoch FROM lead(s.claimed_at) OVER w - s.claimed_at)::float8 * 1000
            FROM steps s JOIN runs r ON r.id = s.run_id WHERE r.id::text > coalesce(%s, '')
            WINDOW w AS (PARTITION BY s.run_id ORDER BY s.turn, s.part)
            """,
            (known,),
        ).fetchall()
    return sorted(gap for (gap,) in rows if gap is not None and gap > 0)


def sleepers(machine: Machine, *, count: int, seconds: float) -> tuple[int, float]:
    """Steps that one worker process really had in flight at once, and its resident memory in MB then."""
    with fleet(machine, "bench_sleepers", workers=1, sleep=seconds) as running:
        return asyncio.run(_sleep(running, count))


async def _sleep(running: Fleet, count: int) -> tuple[int, float]:
    async with submitting(running.settings, sleeper) as submit:
        for start in range(0, count, 100):
            await asyncio.gather(*(submit() for _ in range(start, min(start + 100, count))))
        most, memory, deadline = 0, 0.0, time.monotonic() + 120
        with psycopg.connect(running.database_url, autocommit=True) as connection:
            while most < count and time.monotonic() < deadline:
                (now,) = connection.execute(
                    "SELECT count(*) FROM steps WHERE state = 'running' AND kind = 'tool'"
                ).fetchone() or (0,)
                if now > most:
                    most, memory = now, running.workers[0].memory_info().rss / 1e6
                await asyncio.sleep(0.2)
    return most, memory


async def _closed_loop(settings: Settings, agent: Agent, *, runs: int, in_flight: int, poll: float = 0.05) -> None:
    """Asks only for the runs that are under way, by id: the driver's own load must not count as ours."""
    under_way = set[str]()
    sent = 0
    async with submitting(settings, agent) as submit:
        with psycopg.connect(settings.database_url or "", autocommit=True) as connection:
            while sent < runs or under_way:
                ended = connection.execute(
                    "SELECT id::text FROM runs WHERE id = ANY(%s::uuid[]) AND state = 'succeeded'", (list(under_way),)
                ).fetchall()
                under_way -= {run_id for (run_id,) in ended}
                new = await asyncio.gather(*(submit() for _ in range(min(runs - sent, in_flight - len(under_way)))))
                under_way |= set(new)
                sent += len(new)
                await asyncio.sleep(poll)


@asynccontextmanager
async def submitting(settings: Settings, agent: Agent) -> AsyncGenerator[Callable[[], Awaitable[str]]]:
    async with bootstrap.ingress(settings) as ingress:
        bundle = bundle_of(agent)
        await ingress.bundles.save(bundle)

        async def submit() -> str:
            submitted = await ingress.submit(
                "bench", NewRun(agent.name, bundle.id, agent.pool, '"go"', CONTENT, first_step(agent.model))
            )
            return submitted.run_id

        yield submit
