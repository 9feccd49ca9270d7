"""Drives ``benchmarks.naive`` through the same closed loop as the fleet."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager

import psutil

from benchmarks import naive
from benchmarks.fleet import Throughput
from benchmarks.machine import Machine, cpu_seconds, processes, server_processes
from benchmarks.workload import STEPS_PER_RUN


@contextmanager
def baseline(machine: Machine) -> Generator[list[psutil.Process]]:
    """Two prefork processes of plain Celery on a fresh database, warmed up."""
    environment = {"NAIVE_DATABASE_URL": machine.fresh("bench_naive"), "NAIVE_REDIS_URL": machine.redis_url}
    os.environ.update(environment)  # the driver submits with the same module
    naive.app.conf.update(broker_url=machine.redis_url)
    naive.create()
    command = ["celery", "-A", "benchmarks.naive", "worker", "-P", "prefork", "-c", "2", "-l", "error"]
    with processes([command], environment) as started:
        _closed_loop(runs=30, in_flight=30)
        yield started


def throughput(started: list[psutil.Process], *, runs: int, in_flight: int) -> Throughput:
    """Keep ``in_flight`` runs under way until ``runs`` have ended."""
    measured = [*started, *server_processes()]
    before, start = cpu_seconds(measured), time.monotonic()
    _closed_loop(runs=runs, in_flight=in_flight)
    elapsed, spent = time.monotonic() - start, cpu_seconds(measured) - before
    steps = runs * STEPS_PER_RUN
    return Throughput(steps / elapsed, spent / steps * 1000, steps)


def _closed_loop(*, runs: int, in_flight: int) -> None:
    base, sent, done = naive.ended(), 0, 0
    while done < runs:
        done = naive.ended() - base
        room = min(runs - sent, in_flight - (sent - done))
        for _ in range(max(0, room)):
            naive.submit()
        sent += max(0, room)
        time.sleep(0.05)
