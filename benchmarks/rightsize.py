"""``python -m benchmarks.rightsize [--write] [--json]``: what a step costs, for `agentfleet capacity plan`.

A real fleet (ingress, one worker, dispatcher, reconciler) on durable servers calls the simulator through the SDK, over
HTTP and streamed, so that the worker's figures contain the client's work. First 100 runs in flight: CPU of each kind
of process, commits, WAL, I/O, growth and Redis traffic per step; polls that find nothing are in it, so it is too high
rather than too low for a busier fleet. Then slow answers: the worker's memory by the steps in flight. ``--write`` puts
all of it into ``agentfleet/capacity/measured.json``.
"""

import argparse
import asyncio
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
from redis import Redis

from agentfleet import bootstrap
from agentfleet.settings import Settings
from agentfleet.store import api_keys, migrate
from agentfleet.store.database import APP_ROLE
from benchmarks.admission import simulator
from benchmarks.intake import free_port, ready
from benchmarks.machine import ROOT, Machine, busy_elsewhere, cpu_seconds, machine, processes, server_processes
from benchmarks.talkers import TURNS

TARGET = ROOT / "agentfleet/capacity/measured.json"
KINDS = ("workers.steps", "workers.dispatcher", "workers.reconciler", "workers.ingress")
STEPS_PER_RUN = 2 * TURNS - 1
IN_FLIGHT = (0, 100, 500, 1_000, 2_000)
"""Of one worker, at which its memory is read."""
FAST = {"burst_seconds": 5, "first_token_ms": 50, "token_ms": 0.5}
SLOW = {"first_token_ms": 50_000}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where it is, and its processes by kind."""

    database_url: str
    redis_url: str
    api: str
    simulator: str
    processes: dict[str, psutil.Process]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400, help=f"runs of {STEPS_PER_RUN} steps to measure (default 400)")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    options = parser.parse_args()
    with machine() as box, simulator(FAST) as url:
        noise = busy_elsewhere(server_processes())
        figures = {**_about(noise), **asyncio.run(_measure(box, url, options.runs))}
    if options.write:
        TARGET.write_text(json.dumps(figures, indent=2) + "\n")
        print(f"wrote {TARGET.relative_to(ROOT)}", file=sys.stderr)
    if not options.json:
        for name, value in figures.items():
            print(f"{name:28} {value}")
    print(json.dumps(figures))


async def _measure(box: Machine, simulator_url: str, runs: int) -> dict[str, Any]:
    async with _fleet(box, simulator_url) as (fleet, submit):
        await _drive(fleet, submit, runs=60)
        before, start = _counters(fleet), time.monotonic()
        await _drive(fleet, submit, runs=runs)
        elapsed = time.monotonic() - start
        after = _counters(fleet)
        memory = await _memory(fleet, submit)
    steps = runs * STEPS_PER_RUN
    spent = {name: after[name] - before[name] for name in before}
    return {
        "steps": steps,
        "steps_per_s": round(steps / elapsed, 1),
        "worker_cpu_ms": round(spent["workers.steps"] / steps * 1000, 3),
        "duties_cpu_ms": round((spent["workers.dispatcher"] + spent["workers.reconciler"]) / steps * 1000, 3),
        "submit_cpu_ms": round(spent["workers.ingress"] / runs * 1000, 3),
        "postgres_cpu_ms": round(spent["postgres"] / steps * 1000, 3),
        "redis_cpu_ms": round(spent["valkey"] / steps * 1000, 3),
        "commits_per_step": round(spent["commits"] / steps, 3),
        "wal_bytes_per_step": round(spent["wal_bytes"] / steps),
        "io_per_step": round(spent["io"] / steps, 3),
        "table_bytes_per_step": round(spent["size"] / steps),
        "redis_bytes_per_step": round(spent["redis_bytes"] / steps),
        "redis_base_mb": round(Redis.from_url(fleet.redis_url).info("memory")["used_memory"] / 1e6, 1),  # pyright: ignore[reportIndexIssue]  # an untyped reply
        "rss_mb": memory,
    }


@asynccontextmanager
async def _fleet(box: Machine, simulator_url: str) -> AsyncGenerator[tuple[Fleet, Any]]:
    url = box.fresh("bench_rightsize")
    migrate.upgrade(url)
    port = free_port()
    environment = {
        "AGENTFLEET_DATABASE_URL": url,
        "AGENTFLEET_REDIS_URL": box.redis_url,
        "AGENTFLEET_LOG_LEVEL": "warning",
        "AGENTFLEET_AGENTS": "benchmarks.talkers",
        "AGENTFLEET_PROVIDER_BASE_URL": simulator_url,
        "AGENTFLEET_PROVIDER_API_KEY": "fleet/key",
        "AGENTFLEET_PORT": str(port),
        "AGENTFLEET_WARM_UP": "0",
    }
    with processes([[kind] for kind in KINDS], environment) as started:
        api = f"http://127.0.0.1:{port}"
        fleet = Fleet(url, box.redis_url, api, simulator_url, dict(zip(KINDS, started, strict=True)))
        db = bootstrap.database(Settings(database_url=url, redis_url=box.redis_url), APP_ROLE, "bench")
        await db.open()
        key = await api_keys.create(db, "bench", "bench")
        await db.close()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers) as session:
            await ready(session, api)

            async def submit() -> str:
                body = json.dumps({"agent": "asker", "input": "sim-script:talk Go on."})
                async with session.post(f"{api}/v1/runs", data=body) as answer:
                    if answer.status != 202:
                        raise RuntimeError(f"POST /v1/runs answered {answer.status}: {await answer.text()}")
                    return (await answer.json())["id"]

            yield fleet, submit


async def _drive(fleet: Fleet, submit: Any, *, runs: int, in_flight: int = 100) -> None:
    under_way, sent = set[str](), 0
    with psycopg.connect(fleet.database_url, autocommit=True) as connection:
        while sent < runs or under_way:
            new = await asyncio.gather(*(submit() for _ in range(min(runs - sent, in_flight - len(under_way)))))
            under_way |= set(new)
            sent += len(new)
            await asyncio.sleep(0.1)
            query = "SELECT id::text, state FROM runs WHERE id = ANY(%s::uuid[]) AND finished_at IS NOT NULL"
            for run_id, state in connection.execute(query, (list(under_way),)).fetchall():
                assert state == "succeeded", f"run {run_id} is {state}"
                under_way.remove(run_id)


async def _memory(fleet: Fleet, submit: Any) -> dict[str, float]:
    """The worker's resident megabytes by the steps that it has in flight, all of them in model calls."""
    async with aiohttp.ClientSession() as session:
        (await session.patch(f"{fleet.simulator}/sim/config", json=SLOW)).raise_for_status()
    found = dict[str, float]()
    worker, sent = fleet.processes["workers.steps"], 0
    with psycopg.connect(fleet.database_url, autocommit=True) as connection:
        for count in IN_FLIGHT:
            for start in range(sent, count, 100):
                await asyncio.gather(*(submit() for _ in range(start, min(start + 100, count))))
            sent, deadline, running = count, time.monotonic() + 45, 0
            while running < count * 0.98 and time.monotonic() < deadline:
                await asyncio.sleep(0.3)
                query = "SELECT count(*) FROM steps WHERE state = 'running'"
                (running,) = connection.execute(query).fetchone() or (0,)
            if running >= count * 0.98:  # else the machine was too slow for its own answers to wait that long
                found[str(running)] = round(worker.memory_info().rss / 1e6, 1)
    return found


def _counters(fleet: Fleet) -> dict[str, float]:
    servers = {
        name: cpu_seconds([process for process in server_processes() if process.name().startswith(name)])
        for name in ("postgres", "valkey")
    }
    query = """
        SELECT pg_stat_force_next_flush(),
               (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
               (SELECT wal_bytes FROM pg_stat_wal)::float8, (SELECT sum(writes + fsyncs) FROM pg_stat_io)::float8,
               pg_database_size(current_database())
    """
    with psycopg.connect(fleet.database_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute(query).fetchone()
    assert row is not None
    stats: Any = Redis.from_url(fleet.redis_url).info("stats")
    return {
        **{kind: cpu_seconds([process]) for kind, process in fleet.processes.items()},
        **servers,
        **dict(zip(("commits", "wal_bytes", "io", "size"), map(float, row[1:]), strict=True)),
        "redis_bytes": float(stats["total_net_input_bytes"] + stats["total_net_output_bytes"]),
    }


def _about(noise: float) -> dict[str, Any]:
    git = shutil.which("git") or "git"
    command = [git, "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{psutil.cpu_count()} vCPU, {psutil.virtual_memory().total / 2**30:.0f} GiB, {_processor()}",
        "python": platform.python_version(),
        "foreign_cores": round(noise, 2),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
