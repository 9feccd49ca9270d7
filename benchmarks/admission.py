"""``python -m benchmarks.admission [--seconds 90] [--json]``: how much of the provider's limits is used, at what price.

200 runs on three models, each model short of something else (requests, input, output), ask for ten times what the
limits allow. The fleet and the hand-written loop of the field (one coroutine per run, exponential backoff in the
process, five tries, then failure) call the same simulator at the same time, each with an organization of its own, so
both have the same limits, the same answers and the same machine. What counts is measured by the simulator's buckets.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from agentfleet import bootstrap
from agentfleet.agents.bundle import bundle_of
from agentfleet.domain.plan import first_step
from agentfleet.settings import Settings
from agentfleet.store import migrate
from agentfleet.store.runs import NewRun
from benchmarks.machine import ROOT, Machine, machine, processes
from benchmarks.talkers import AGENTS, CONTENT, LIMITS, SCRIPT

RUNS = 200
SETTLED_AFTER = 60.0
"""Seconds after which the figures count: by then every limit was learned, and the initial bursts are used up."""
Say = Callable[[str], None]
OURS, THEIRS = "fleet", "naive"
ENDED = "SELECT id::text FROM runs WHERE id = ANY(%s::uuid[]) AND state NOT IN ('queued', 'running', 'waiting')"


@dataclass(frozen=True, slots=True)
class Side:
    """What the simulator saw of one organization: in the window, and from the start."""

    used: dict[str, float]
    """Share of each model group's binding limit."""
    calls: float
    refused: int

    @property
    def utilisation(self) -> float:
        return min(self.used.values(), default=0.0)

    @property
    def rate_429(self) -> float:
        return self.refused / (self.refused + self.calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90, help="how long both sides call (default 90, at least 20)")
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    options = parser.parse_args()
    seconds = max(options.seconds, 20.0)

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    with machine() as box, simulator() as url, fleet(box, url) as settings:
        figures = asyncio.run(_compare(settings, url, seconds, say))
    for name, value in figures.items():
        say(f"{name:24} {value}")
    print(json.dumps(figures))


@contextmanager
def simulator(config: Mapping[str, Any] = LIMITS) -> Generator[str]:
    """A simulator of its own, with the benchmark's limits unless told otherwise; its URL."""
    with tempfile.TemporaryDirectory(prefix="agentfleet-bench-sim-") as directory:
        path = Path(directory, "sim.json")
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "agentfleet.simulator", "--port", "0", "--config", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            httpx2.post(f"{url}/sim/scripts", json=SCRIPT).raise_for_status()
            try:
                yield url
            finally:
                process.terminate()


@contextmanager
def fleet(box: Machine, simulator_url: str) -> Generator[Settings]:
    """Two step workers, a dispatcher and a reconciler on a fresh database."""
    url = box.fresh("bench_admission")
    migrate.upgrade(url)
    environment = {
        "AGENTFLEET_DATABASE_URL": url,
        "AGENTFLEET_REDIS_URL": box.redis_url,
        "AGENTFLEET_LOG_LEVEL": "warning",
        "AGENTFLEET_AGENTS": "benchmarks.talkers",
        "AGENTFLEET_PROVIDER_BASE_URL": simulator_url,
        "AGENTFLEET_PROVIDER_API_KEY": f"{OURS}/key",
    }
    commands = [["workers.steps"]] * 2 + [["workers.dispatcher"], ["workers.reconciler"]]
    with processes(commands, environment):
        yield Settings(database_url=url, redis_url=box.redis_url, agents=("benchmarks.talkers",))


async def _compare(settings: Settings, url: str, seconds: float, say: Say) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=url) as sim:
        say("the fleet starts ...")
        await _drive(settings, lambda ended: ended >= len(AGENTS), runs=len(AGENTS))
        began = (await sim.get("/sim/clock")).json()["now"]
        until = time.monotonic() + seconds
        progress = _progress(until, say)
        command = [sys.executable, "-m", "benchmarks.hopeful", url, f"{THEIRS}/key", str(RUNS), str(seconds)]
        naive = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        await _drive(settings, lambda ended: progress(ended) or time.monotonic() >= until, runs=RUNS)
        now = (await sim.get("/sim/clock")).json()["now"]
        window = max(began + min(SETTLED_AFTER, seconds / 2), now - seconds), now
        ours, theirs = [await _side(sim, name, began, window) for name in (OURS, THEIRS)]
        told, _ = await naive.communicate()
    failed, wasted_attempts, ended = _outcomes(settings.database_url or "")
    return {
        "utilisation": round(ours.utilisation, 4),
        "utilisation_by_group": {group: round(share, 4) for group, share in ours.used.items()},
        "rate_429": round(ours.rate_429, 5),
        "calls": int(ours.calls),
        "runs_succeeded": ended,
        "failed_runs": failed,
        "attempts_on_waiting": wasted_attempts,
        "seconds": seconds,
        "naive": {
            "utilisation": round(theirs.utilisation, 4),
            "utilisation_by_group": {group: round(share, 4) for group, share in theirs.used.items()},
            "rate_429": round(theirs.rate_429, 5),
            "calls": int(theirs.calls),
            **json.loads(told),
        },
    }


def _progress(until: float, say: Say) -> Callable[[int], None]:
    told = [time.monotonic()]

    def progress(ended: int) -> None:
        if time.monotonic() - told[0] > 10:
            told[0] = time.monotonic()
            say(f"{until - told[0]:4.0f} s left: {ended} runs of the fleet have ended")

    return progress


async def _drive(settings: Settings, enough: Callable[[int], object], *, runs: int) -> None:
    """Keep so many runs under way until it is ``enough``, given how many have ended."""
    under_way, sent = set[str](), 0
    async with bootstrap.ingress(settings) as ingress:
        for agent in AGENTS:
            await ingress.bundles.save(bundle_of(agent))

        async def submit(number: int) -> str:
            agent = AGENTS[number % len(AGENTS)]
            new = NewRun(agent.name, bundle_of(agent).id, agent.pool, '"go"', CONTENT, first_step(agent.model))
            return (await ingress.submit(f"tenant-{number % 4}", new)).run_id

        with psycopg.connect(settings.database_url or "", autocommit=True) as connection:
            while not enough(sent - len(under_way)):
                new = await asyncio.gather(*(submit(sent + n) for n in range(runs - len(under_way))))
                under_way |= set(new)
                sent += len(new)
                await asyncio.sleep(0.25)
                ended = connection.execute(ENDED, (list(under_way),)).fetchall()
                under_way -= {run_id for (run_id,) in ended}


async def _side(sim: httpx2.AsyncClient, organization: str, began: float, window: tuple[float, float]) -> Side:
    async def pools(since: float, until: float) -> list[dict[str, Any]]:
        answer = await sim.get("/sim/utilisation", params={"since": since, "until": until})
        return [pool for pool in answer.raise_for_status().json()["pools"] if pool["organization"] == organization]

    late, whole = await pools(*window), await pools(began, window[1])
    return Side(
        {pool["group"]: pool["buckets"][pool["binding"]]["share"] for pool in late},
        sum(pool["buckets"]["requests"]["used"] for pool in whole),
        sum(pool["rate_limited"] + pool["ramp_limited"] for pool in whole),
    )


def _outcomes(database_url: str) -> tuple[int, int, int]:
    """Runs that failed or need review, attempts that were spent without a success, runs that succeeded."""
    query = """
        SELECT (SELECT count(*) FROM runs WHERE state IN ('failed', 'needs_review', 'expired'))::int,
               (SELECT coalesce(sum(attempt - 1), 0) FROM steps WHERE attempt > 1)::int,
               (SELECT count(*) FROM runs WHERE state = 'succeeded')::int
    """
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


if __name__ == "__main__":
    main()
