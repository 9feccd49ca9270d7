"""``python -m benchmarks.queue_age [--seed 1] [--json]``: is the simulator right? The same arrivals, in both.

A real worker with 20 slots gets runs whose tool call takes two seconds: 20 s at three a second, then 30 s at fifteen,
where it can serve ten, then three again. Each run's arrival is drawn beforehand, and played to the model, too. What is
compared is how old the steps were when they were claimed, as Postgres has it. The model is told how long steps held
their slots, on average by kind, as the autoscaler is.
"""

import argparse
import asyncio
import json
import time
from random import Random

import psycopg
import simpy

from agentfleet.capacity.arrivals import poisson, spike
from agentfleet.capacity.cluster import Cluster
from agentfleet.capacity.fleet import Fleet as Model
from agentfleet.capacity.work import Step
from benchmarks.fleet import Fleet, fleet, submitting
from benchmarks.machine import machine
from benchmarks.workload import sleeper

SLOTS, SECONDS, RATE, FACTOR = 20, 2.0, 3.0, 5.0
BEGIN, END, LENGTH = 20.0, 50.0, 90.0
QUERY = """
    SELECT extract(epoch FROM claimed_at - ready_at)::float8 FROM steps
    WHERE ready_at >= to_timestamp(%s) ORDER BY 1
"""
LENGTHS = """
    SELECT kind, avg(extract(epoch FROM finished_at - claimed_at))::float8 FROM steps
    WHERE ready_at >= to_timestamp(%s) GROUP BY kind
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (default 1)")
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    options = parser.parse_args()
    times = list(poisson(RATE, spike(FACTOR, BEGIN, END), LENGTH, FACTOR, Random(options.seed)))
    also = {"AGENTFLEET_WORKER_CAPACITY": str(SLOTS), "AGENTFLEET_WARM_UP": "0"}
    with machine() as box, fleet(box, "bench_queue_age", workers=1, sleep=SECONDS, also=also) as running:
        real, lengths = asyncio.run(_play(running, times))
    model = _simulate(times, lengths)
    figures = {"steps": len(real), "lengths": lengths, "real": _quantiles(real), "model": _quantiles(model)}
    if not options.json:
        print(f"{len(real)} steps; seconds from ready to claimed")
        for name in ("real", "model"):
            print(
                f"{name:6}",
                "  ".join(f"{key} {value:.2f}" for key, value in _quantiles(real if name == "real" else model).items()),
            )
    print(json.dumps(figures))


async def _play(running: Fleet, times: list[float]) -> tuple[list[float], dict[str, float]]:
    async with submitting(running.settings, sleeper) as submit:
        await asyncio.gather(*(submit() for _ in range(SLOTS)))  # warm
        with psycopg.connect(running.database_url, autocommit=True) as connection:
            await _all_ended(connection)
            begun, start = time.time(), time.monotonic()
            sent = list[asyncio.Task[str]]()
            for at in times:
                await asyncio.sleep(max(start + at - time.monotonic(), 0.0))
                sent.append(asyncio.create_task(submit()))  # pyright: ignore[reportArgumentType]  # a coroutine
            await asyncio.gather(*sent)
            await _all_ended(connection)
            ages = [age for (age,) in connection.execute(QUERY, (begun,)).fetchall()]
            return ages, dict(connection.execute(LENGTHS, (begun,)).fetchall())


async def _all_ended(connection: psycopg.Connection) -> None:
    query, deadline = "SELECT count(*) FROM runs WHERE finished_at IS NULL", time.monotonic() + 180
    while time.monotonic() < deadline:
        if connection.execute(query).fetchone() == (0,):
            return
        await asyncio.sleep(0.5)
    raise RuntimeError("some runs did not end")


def _simulate(times: list[float], lengths: dict[str, float]) -> list[float]:
    """A run is a quick step, its tool call, a quick step."""
    env = simpy.Environment()
    model = Model(env, Cluster(), concurrency=SLOTS, cpu=0.0, provider=None, admits=True, random=Random(1))
    model.begin(1)
    steps = list[Step]()

    def feed():  # noqa: ANN202  # simpy's generator
        for at in times:
            yield env.timeout(at - env.now)
            last = Step(0.0, lengths["reason"], calls=False)
            tool = Step(0.0, lengths["tool"], calls=False, then=(last,))
            first = Step(env.now, lengths["reason"], calls=False, then=(tool,))
            steps.extend((first, tool, last))
            model.arrive(first)

    env.process(feed())
    env.run()
    return sorted(step.waited for step in steps)


def _quantiles(ages: list[float]) -> dict[str, float]:
    return {
        f"p{share}": round(ages[min(int(len(ages) * share / 100), len(ages) - 1)], 2) for share in (25, 50, 75, 95, 100)
    }


if __name__ == "__main__":
    main()
