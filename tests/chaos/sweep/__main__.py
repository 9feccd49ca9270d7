"""``python -m tests.chaos.sweep``: see the package. Exit code 1 when a case fails, or a point is never passed."""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agentfleet.dev.embedded import servers
from agentfleet.failpoints import POINTS
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.serve import background
from agentfleet.store import migrate
from tests.chaos.sweep.lanes import Result, run
from tests.chaos.sweep.plan import UNREACHED, Case, every_case
from tests.chaos.sweep.stage import World

TELL_EVERY = 10


def main() -> int:
    """Play every case that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sweep", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000, help="of the order of the cases")
    parser.add_argument("--only", choices=sorted(POINTS), metavar="POINT", help="only the cases of one failpoint")
    parser.add_argument("--action", choices=("kill", "pause", "raise", "dup"), help="only the cases of one action")
    parser.add_argument("--jobs", type=int, default=8, help="cases side by side")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--thorough", action="store_true", help="every action at every kind of step: twice as long")
    asked = parser.parse_args()
    cases = [
        case
        for case in every_case(thorough=asked.thorough)
        if asked.only in (None, case.route.point) and asked.action in (None, case.action)
    ]
    random.Random(asked.seed).shuffle(cases)  # an order
    print(f"{len(cases)} cases, seed {asked.seed}", file=sys.stderr)
    started = time.monotonic()
    results = _play(cases, asked.jobs)
    seconds = time.monotonic() - started
    failed = [result for result in results if result.failure]
    if asked.json:
        print(json.dumps({
            "seed": asked.seed, "seconds": round(seconds, 1), "cases": len(results),
            "failures": {str(result.case): result.failure for result in failed}, "unreached": UNREACHED,
        }))  # fmt: skip
    else:
        _table(results)
    print(f"cases={len(results)} failures={len(failed)} seed={asked.seed} seconds={seconds:.0f}", file=sys.stderr)
    return 1 if failed or not results else 0


def _play(cases: Sequence[Case], jobs: int) -> list[Result]:
    done = 0

    def tell(result: Result) -> None:
        nonlocal done
        done += 1
        if result.failure:
            print(f"FAILED {result.case}\n{result.failure}", file=sys.stderr)
        if done % TELL_EVERY == 0 or done == len(cases):
            print(f"{done} of {len(cases)}", file=sys.stderr)

    with (
        tempfile.TemporaryDirectory() as directory,
        servers(Path(), ephemeral=True) as urls,
        background(SimulatorConfig(log_capacity=200_000)) as simulator,
    ):
        migrate.upgrade(urls.database_url)
        world = World(urls, "agentfleet", simulator, Path(directory)).tell()
        return asyncio.run(run(world, cases, jobs=jobs, tell=tell))


def _table(results: Sequence[Result]) -> None:
    print(f"{'point':<22}{'cases':>7}{'failures':>10}{'slowest':>10}")
    for point in sorted({result.case.route.point for result in results}):
        mine = [result for result in results if result.case.route.point == point]
        failures = sum(bool(result.failure) for result in mine)
        print(f"{point:<22}{len(mine):>7}{failures:>10}{max(result.seconds for result in mine):>9.1f}s")
    for point, reason in UNREACHED.items():
        print(f"{point:<22}{'-':>7}  {reason}")


if __name__ == "__main__":
    sys.exit(main())
