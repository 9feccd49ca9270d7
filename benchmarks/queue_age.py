"""``python -m benchmarks.queue_age [--seed 1] [--json]``: is the simulator right? The same arrivals, in both.

A real worker with 20 slots gets runs whose tool call takes two seconds: 20 s at three a second, then 30 s at fifteen,
where it can serve ten, then three again. Each run's arrival is drawn beforehand, and played to the model, too. What is
compared is how old the tool steps were when they were claimed, as Postgres has it.
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
QUICK = 0.005
"""Seconds of a step that only asks or only answers."""
QUERY = """
    SELECT extract(epoch FROM claimed_at - ready_at)::float8 FROM steps
    WHERE kind = 'tool' AND ready_at >= to_timestamp(%s) ORDER BY 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (default 1)")
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    options = parser.parse_args()
    times = list(poisson(RATE, spike(FACTOR, BEGIN, END), LENGTH, FACTOR, Random(options.seed)))
    also = {"AGENTFLEET_WORKER_CAPACITY": str(SLOTS), "AGENTFLEET_WARM_UP": "0"}
    with machine() as box, fleet(box, "bench_queue_age", workers=1, sleep=SECONDS, also=also) as running:
        real = asyncio.run(_play(running, times))
    model = _simulate(times)
    figures = {"steps": len(real), "real": _quantiles(real), "model": _quantiles(model)}
    if not options.json:
        print(f"{len(real)} tool steps; seconds from ready to claimed")
        for name in ("real", "model"):
            print(
                f"{name:6}",
                "  ".join(f"{key} {value:.2f}" for key, value in _quantiles(real if name == "real" else model).items()),
            )
    print(json.dumps(figures))


async def _play(running: Fleet, times: list[float]) -> list[float]:
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
            return [age for (age,) in connection.execute(QUERY, (begun,)).fetchall()]


async def _all_ended(connection: psycopg.Connection) -> None:
    query, deadline = "SELECT count(*) FROM runs WHERE finished_at IS NULL", time.monotonic() + 180
    while time.monotonic() < deadline:
        if connection.execute(query).fetchone() == (0,):
            return
        await asyncio.sleep(0.5)
    raise RuntimeError("some runs did not end")


def _simulate(times: list[float]) -> list[float]:
    """A run is a quick step, its tool call, a quick step."""
    env = simpy.Environment()
    model = Model(env, Cluster(), concurrency=SLOTS, cpu=0.0, provider=None, admits=True, random=Random(1))
    model.begin(1)
    tools = list[Step]()

    def feed():  # noqa: ANN202  # simpy's generator
        for at in times:
            yield env.timeout(at - env.now)
            tool = Step(0.0, SECONDS, calls=False, then=(Step(0.0, QUICK, calls=False),))
            tools.append(tool)
            model.arrive(Step(env.now, QUICK, calls=False, then=(tool,)))

    env.process(feed())
    env.run()
    return sorted(tool.waited for tool in tools)


def _quantiles(ages: list[float]) -> dict[str, float]:
    return {
        f"p{share}": round(ages[min(int(len(ages) * share / 100), len(ages) - 1)], 2) for share in (25, 50, 75, 95, 100)
    }


if __name__ == "__main__":
    main()
