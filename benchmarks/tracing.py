"""``python -m benchmarks.tracing [--rounds 5] [--runs 400] [--json]``: the price of tracing, and of a dead collector.

The fleet of ``benchmarks.steps`` (no-op model and tools, everything durable: a step that does something takes thousands
of times as long, so this is the worst case) with tracing off, with a collector that takes everything, without one
(connection refused), and with one that accepts and never answers. The four take turns, in another order each round;
a ratio is the median over the rounds of throughput divided by that of the same round with tracing off.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.fleet import Throughput, fleet, throughput
from benchmarks.machine import ROOT, Machine, machine

IN_FLIGHT = 100
OFF, HEALTHY, REFUSED, HANGING = "off", "healthy", "refused", "hanging"
VARIABLES = ("AGENTFLEET_TRACING", "OTEL_EXPORTER_OTLP_ENDPOINT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each of the four is measured (default 5)")
    parser.add_argument("--runs", type=int, default=400, help="runs of ten steps per measurement (default 400)")
    parser.add_argument("--json", action="store_true", help="print only one JSON object, on the last line")
    parser.add_argument("--collect", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collect:
        asyncio.run(_collect())
        return

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    rounds = list[dict[str, Throughput]]()
    with machine() as box, collectors() as modes:
        for number in range(options.rounds):
            order = [*modes][number % 4 :] + [*modes][: number % 4]
            measured = {mode: _measure(box, modes[mode], options.runs) for mode in order}
            rounds.append(measured)
            told = ", ".join(f"{mode} {measured[mode].steps_per_s:.0f}" for mode in modes)
            say(f"round {number + 1}: steps per second: {told}")
    figures = _figures(rounds)
    for name, value in figures.items():
        say(f"{name:32} {value}")
    print(json.dumps(figures))


@contextmanager
def collectors() -> Generator[dict[str, dict[str, str]]]:
    """The environment of each of the four."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    command = [sys.executable, "-m", "benchmarks.tracing", "--collect"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        try:
            yield {
                OFF: {"AGENTFLEET_TRACING": "off"},
                HEALTHY: _on(urls[HEALTHY]),
                REFUSED: _on(nobody),
                HANGING: _on(urls[HANGING]),
            }
        finally:
            process.terminate()


def _on(url: str) -> dict[str, str]:
    return {"AGENTFLEET_TRACING": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url}


def _measure(box: Machine, environment: Mapping[str, str], runs: int) -> Throughput:
    """A fleet of its own: what one process has learned of a collector must not be known to the next."""
    for name in VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(environment)
    with fleet(box, "bench_tracing", workers=1) as running:
        throughput(running, runs=runs, in_flight=IN_FLIGHT)  # by then it knows its collector
        return throughput(running, runs=runs, in_flight=IN_FLIGHT)


def _figures(rounds: list[dict[str, Throughput]]) -> dict[str, Any]:
    def ratio(of: str, to: str) -> float:
        return round(statistics.median(one[of].steps_per_s / one[to].steps_per_s for one in rounds), 3)

    def median(mode: str, what: str) -> float:
        return round(statistics.median(getattr(one[mode], what) for one in rounds), 3)

    return {
        "healthy_to_off": ratio(HEALTHY, OFF),
        "refused_to_off": ratio(REFUSED, OFF),
        "hanging_to_off": ratio(HANGING, OFF),
        "refused_to_healthy": ratio(REFUSED, HEALTHY),
        "hanging_to_healthy": ratio(HANGING, HEALTHY),
        "steps_per_s": {mode: median(mode, "steps_per_s") for mode in rounds[0]},
        "cpu_ms_per_step": {mode: median(mode, "cpu_ms_per_step") for mode in rounds[0]},
        "rounds": len(rounds),
    }


async def _collect() -> None:
    """Two collectors, one of which never answers; prints where they are."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass
        writer.close()

    servers = {
        HEALTHY: await asyncio.start_server(take, "127.0.0.1", 0),
        HANGING: await asyncio.start_server(hang, "127.0.0.1", 0),
    }
    urls = {name: f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for name, server in servers.items()}
    print(json.dumps(urls), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
