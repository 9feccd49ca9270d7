"""``python -m benchmarks.steps [--json] [--quick]``: durable steps against the hand-written way.

Both sides run on the same embedded servers with full durability, two worker processes each, in turns (A B A B ...), so
that a machine that changes its speed changes it for both. Medians are printed, with the range; read the ratios.
"""

import argparse
import json
import statistics
import sys

from benchmarks import baseline, intake
from benchmarks import fleet as ours
from benchmarks.machine import busy_elsewhere, machine, server_processes

IN_FLIGHT = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    parser.add_argument("--quick", action="store_true", help="one short round of each, for a first impression")
    options = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    rounds, fleet_runs, naive_runs = (1, 400, 100) if options.quick else (3, 1_500, 200)
    mine, theirs, gaps, noise = list[ours.Throughput](), list[ours.Throughput](), list[float](), list[float]()
    with machine() as box:
        for number in range(1, rounds + 1):
            noise.append(busy_elsewhere(server_processes()))
            with ours.fleet(box, "bench_steps", workers=2) as running:
                mine.append(ours.throughput(running, runs=fleet_runs, in_flight=IN_FLIGHT))
                gaps += ours.step_to_step(running, runs=20)
            with baseline.baseline(box) as started:
                theirs.append(baseline.throughput(started, runs=naive_runs, in_flight=min(IN_FLIGHT, naive_runs)))
            say(
                f"round {number}/{rounds}: agentfleet {mine[-1].steps_per_s:.0f} steps/s"
                f" at {mine[-1].cpu_ms_per_step:.2f} CPU ms, "
                f"hand-written Celery {theirs[-1].steps_per_s:.0f} at {theirs[-1].cpu_ms_per_step:.2f} "
                f"(others used {noise[-1]:.1f} cores)"
            )
        say("intake over HTTP ...")
        submits, submit_p99 = intake.intake(box, requests=1_600 if options.quick else 6_400)
        say("2,000 sleepers in one process ...")
        asleep, memory = ours.sleepers(box, count=2_000, seconds=45.0)
    gaps.sort()
    figures = {
        "steps_per_s": round(statistics.median(t.steps_per_s for t in mine), 1),
        "cpu_ms_per_step": round(statistics.median(t.cpu_ms_per_step for t in mine), 3),
        "p50_ms": round(gaps[len(gaps) // 2], 2),
        "p99_ms": round(gaps[int(len(gaps) * 0.99)], 2),
        "submits_per_s": round(submits, 1),
        "submit_p99_ms": round(submit_p99, 1),
        "baseline_steps_per_s": round(statistics.median(t.steps_per_s for t in theirs), 1),
        "baseline_cpu_ms_per_step": round(statistics.median(t.cpu_ms_per_step for t in theirs), 3),
        "ratio_steps": round(
            statistics.median(a.steps_per_s / b.steps_per_s for a, b in zip(mine, theirs, strict=True)), 2
        ),
        "ratio_cpu": round(
            statistics.median(b.cpu_ms_per_step / a.cpu_ms_per_step for a, b in zip(mine, theirs, strict=True)), 2
        ),
        "in_flight_one_process": asleep,
        "rss_mb_one_process": round(memory, 1),
        "rounds": rounds,
        "foreign_cores": round(statistics.median(noise), 2),
    }
    if not options.json:
        for name, value in figures.items():
            print(f"{name:28} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
