"""Starts Python processes by forking one that has imported everything: a tenth of the CPU of a fresh interpreter.

What is started is as real as any: its own session, environment, pid and exit code. It dies with the test process.
"""

import ctypes
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
PR_SET_PDEATHSIG = 1
HEAVY = (
    "agentfleet.bootstrap", "agentfleet.broker.bootstep", "agentfleet.broker.strategy", "agentfleet.api.app",
    "agentfleet.simulator.serve", "aiohttp", "anthropic", "anthropic.resources.messages", "celery.app.amqp",
    "celery.app.events", "celery.app.control", "celery.app.trace", "celery.bin.worker", "celery.concurrency.solo",
    "celery.events.state", "celery.loaders.app", "celery.worker", "celery.worker.components", "celery.worker.consumer",
    "celery.worker.autoscale", "flower.command", "kombu.transport.redis", "psycopg.types.json", "redis.asyncio", "uvicorn",
    "uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl", "uvloop",
)  # fmt: skip
"""Nothing that reads settings, starts a thread or opens a connection."""


class Zygote:
    """The process that forks. What it runs is the code in ``code``."""

    def __init__(self, code: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"],
            cwd=code,
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # the tests are always of today
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_the_parent,  # noqa: PLW1509  # one system call
        )

    @property
    def alive(self) -> bool:
        """Whether it runs; everything that it has started ends with it."""
        return self._process.poll() is None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Start ``python -m ARGUMENTS``; its pid. ``log`` with .out, .err and, when it has ended, .code: see there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@cache
def zygote(code: Path = ROOT) -> Zygote:
    """The one of this test process for the code in that directory."""
    return Zygote(code)


def die_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve() -> list[str] | None:
    """Fork for every line on standard input, until it ends. Returns in the children, with their arguments."""
    logs: dict[int, Path] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    orders = b""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            _reap(logs)
        if 0 in readable:
            data = os.read(0, 1 << 20)
            if not data:
                return None
            orders += data
        while b"\n" in orders:
            line, _, orders = orders.partition(b"\n")
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wake)
                _become(order)
                return order["arguments"]
            logs[pid] = Path(order["log"])
            os.write(1, b"%d\n" % pid)


def _reap(logs: dict[int, Path]) -> None:
    for pid, log in list(logs.items()):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            del logs[pid]
            fresh = log.with_name(f"{log.name}.code.new")
            fresh.write_text(str(os.waitstatus_to_exitcode(status)))
            fresh.rename(log.with_name(f"{log.name}.code"))


def _become(order: dict[str, object]) -> None:
    die_with_the_parent()
    os.setsid()
    os.environ.clear()
    os.environ.update(order["environment"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for fd, path in ((0, os.devnull), (1, f"{order['log']}.out"), (2, f"{order['log']}.err")):
        opened = os.open(path, os.O_RDONLY if fd == 0 else flags, 0o644)
        os.dup2(opened, fd)
        os.close(opened)


if __name__ == "__main__":
    for name in HEAVY:
        with suppress(ModuleNotFoundError):  # a module of ours that the code of another day does not have
            import_module(name)
    arguments = serve()
    if arguments is not None:
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
