"""``python -m benchmarks.retention [--json] [--rounds N]``: does pruning keep the tables small, and what does it cost?

A fleet runs ten-step runs as fast as it can, 200 in flight. In every other round a pruner archives each run, into gzip
files, and deletes it some seconds after its end, so that as many rows go as come. Compared are the rounds with pruning
and those without, in turns (A B A B ...); and the size of the tables in the rounds with pruning: it stops growing.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import psycopg

from agentfleet.domain.retention import Keep
from agentfleet.engine.archive import Archivist
from agentfleet.engine.prune import RunPruner
from agentfleet.store import migrate
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from benchmarks import fleet as ours
from benchmarks.machine import Machine, busy_elsewhere, machine, server_processes

IN_FLIGHT = 200
AGE = 5.0  # seconds after its end: the driver must have seen it (a setting allows no less than a day)
TABLES = ("runs", "steps", "attempts", "messages", "run_events")
SIZES = """
SELECT sum(pg_total_relation_size(c.oid))::bigint, sum(pg_stat_get_dead_tuples(c.oid))::bigint,
       sum(pg_stat_get_live_tuples(c.oid))::bigint FROM pg_class c
WHERE c.relname = ANY(%s) AND c.relnamespace = 'public'::regnamespace
"""
FILL = """
INSERT INTO bundles (id, agent, spec) VALUES ('b', 'a', '{}');
INSERT INTO runs (id, tenant_id, agent, bundle_id, pool, state, input, output, event_seq, steps_total, finished_at)
    SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench', 'a', 'b', 'default', 'succeeded',
           '""', '""', 11, 10, now() - interval '1 day' FROM generate_series(1, 2000) n;
INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state)
    SELECT gen_random_uuid(), id, 'bench', 'default', 'a', seq, 'tool', 't', seq, '{}', 'succeeded'
    FROM runs, generate_series(0, 9) seq;
INSERT INTO attempts (step_id, fence, attempt, outcome, claimed_at, finished_at)
    SELECT id, 1, 1, 'succeed', now(), now() FROM steps;
INSERT INTO messages (run_id, turn, part, role, content)
    SELECT id, turn, 0, 'user', repeat('x', 2000) FROM runs, generate_series(0, 10) turn;
INSERT INTO run_events (run_id, seq, type, data) SELECT id, seq, 'x', '{}' FROM runs, generate_series(1, 11) seq;
"""
DELETED = "SELECT sum(n_tup_del)::bigint FROM pg_stat_user_tables WHERE relname = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Files:
    """Objects in a directory: what is measured is the database, not a store."""

    directory: Path
    name: str = "files"

    async def put(self, key: str, body: bytes) -> str:
        path = self.directory / key.replace("/", "_")
        await asyncio.to_thread(path.write_bytes, body)
        return str(path)


@dataclass(slots=True)
class Round:
    """What one round brought."""

    pruned: bool
    steps_per_s: float
    cpu_ms_per_step: float
    megabytes: list[float] = field(default_factory=list[float])
    dead_rows: list[int] = field(default_factory=list[int])
    deleted_rows_per_s: float = 0.0


def _prune(url: str, directory: str, stop: Event) -> None:
    """A process of its own, as the reconciler is."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Database]:
        db = Database(DatabaseConfig(url, FLEET_ROLE, "pruner", pool_size=1))
        await db.open()
        try:
            yield db
        finally:
            await db.close()

    async def run() -> None:
        async with opened() as db:
            pruner = RunPruner(db, Keep(runs=AGE), Archivist(db, Files(Path(directory))))
            while not stop.is_set():
                if not await pruner.run_once():
                    await asyncio.sleep(0.5)

    asyncio.run(run())


@contextmanager
def pruning(url: str) -> Generator[None]:
    """Prune until the block ends."""
    context = get_context("spawn")
    stop = context.Event()
    with tempfile.TemporaryDirectory(prefix="agentfleet-archive-") as directory:
        process = context.Process(target=_prune, args=(url, directory, stop))
        process.start()
        try:
            yield
            if not process.is_alive():
                raise RuntimeError("the pruner died")
        finally:
            stop.set()
            process.join(30)


def play(box: Machine, *, pruned: bool, parts: int, runs: int) -> Round:
    """A fresh fleet; ``parts`` times ``runs`` runs, with a look at the tables after each part."""
    with ours.fleet(box, "bench_retention", workers=2) as running:
        before = _asked(running.database_url, DELETED)[0]
        began, found, made = time.monotonic(), list[ours.Throughput](), Round(pruned, 0, 0)
        with pruning(running.database_url) if pruned else contextlib.nullcontext():
            for _ in range(parts):
                found.append(ours.throughput(running, runs=runs, in_flight=IN_FLIGHT))
                size, dead, _ = _asked(running.database_url, SIZES)
                made.megabytes.append(round(size / 1e6, 1))
                made.dead_rows.append(dead)
        made.deleted_rows_per_s = (_asked(running.database_url, DELETED)[0] - before) / (time.monotonic() - began)
        made.steps_per_s = statistics.median(part.steps_per_s for part in found)
        made.cpu_ms_per_step = statistics.median(part.cpu_ms_per_step for part in found)
        return made


def bare(box: Machine) -> float:
    """Rows deleted per second, archived, with nothing else going on: the rests between portions are counted, too."""
    url = box.fresh("bench_retention_bare")
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.encode())
    rows = 2_000 * (1 + 10 + 10 + 11 + 11)

    async def prune(directory: str) -> float:
        db = Database(DatabaseConfig(url, FLEET_ROLE, "pruner", pool_size=1))
        await db.open()
        try:
            pruner, began = RunPruner(db, Keep(runs=AGE), Archivist(db, Files(Path(directory)))), time.monotonic()
            while await pruner.run_once():
                pass
            return time.monotonic() - began
        finally:
            await db.close()

    with tempfile.TemporaryDirectory(prefix="agentfleet-archive-") as directory:
        return rows / asyncio.run(prune(directory))


def vacuum_often(box: Machine) -> None:
    """Autovacuum looks once a minute, which is as long as a round: here every five seconds, in both kinds of round."""
    with psycopg.connect(box.database_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '5s'")
        connection.execute("SELECT pg_reload_conf()")


def _asked(url: str, query: str) -> tuple[int, ...]:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode(), (list(TABLES),)).fetchone() or (0, 0, 0)
        return tuple(int(value or 0) for value in row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind")
    parser.add_argument("--parts", type=int, default=8, help="looks at the tables in a round")
    parser.add_argument("--runs", type=int, default=500, help="runs of a part")
    options = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    rounds, noise = list[Round](), list[float]()
    with machine() as box:
        vacuum_often(box)
        for number in range(options.rounds * 2):
            noise.append(busy_elsewhere(server_processes()))
            made = play(box, pruned=number % 2 == 1, parts=options.parts, runs=options.runs)
            rounds.append(made)
            say(
                f"{'with' if made.pruned else 'without'} pruning: {made.steps_per_s:.0f} steps/s at"
                f" {made.cpu_ms_per_step:.2f} CPU ms, MB {made.megabytes}, dead rows {made.dead_rows},"
                f" {made.deleted_rows_per_s:.0f} rows deleted a second"
            )
        alone = bare(box)
    kept, gone = [one for one in rounds if not one.pruned], [one for one in rounds if one.pruned]
    half = options.parts // 2
    figures = {
        "ratio_steps": round(
            statistics.median(b.steps_per_s / a.steps_per_s for a, b in zip(kept, gone, strict=True)), 3
        ),
        "steps_per_s_pruned": round(statistics.median(one.steps_per_s for one in gone), 1),
        "steps_per_s_kept": round(statistics.median(one.steps_per_s for one in kept), 1),
        "mb_kept": [kept[-1].megabytes[half - 1], kept[-1].megabytes[-1]],
        "mb_pruned": [gone[-1].megabytes[half - 1], gone[-1].megabytes[-1]],
        "growth_pruned": round(statistics.median(one.megabytes[-1] / one.megabytes[half - 1] for one in gone), 3),
        "growth_kept": round(statistics.median(one.megabytes[-1] / one.megabytes[half - 1] for one in kept), 3),
        "rows_deleted_per_s_under_load": round(statistics.median(one.deleted_rows_per_s for one in gone)),
        "rows_deleted_per_s_alone": round(alone),
        "runs_per_round": options.parts * options.runs,
        "rounds": options.rounds,
        "foreign_cores": round(statistics.median(noise), 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
