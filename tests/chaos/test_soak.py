"""A small soak, as a person would start it: nothing is lost, doubled or broken, and nothing is left running."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.fleet import until
from tests.chaos.soak.__main__ import main
from tests.zygote import ROOT, zygote

LAST = re.compile(r"faults=[1-9]\d* runs=[1-9]\d* lost=0 doubled=0 violations=0 recovery_p99_s=\d+\.\d+")


def family(pid: int) -> set[int]:
    """This process's children, theirs, and so on."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
    found, fresh = set[int](), {pid}
    while fresh:
        found |= fresh
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def test_a_small_soak_breaks_no_promise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zygote(ROOT)
    before = family(os.getpid())
    code = main(["--seconds", "6", "--seed", "3", "--clients", "6", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert LAST.fullmatch(printed.splitlines()[-1]), printed
    assert code == 0
    assert family(os.getpid()) <= before


async def test_an_interrupted_soak_leaves_nothing_running(tmp_path: Path) -> None:
    history = tmp_path / "out" / "operations.jsonl"
    process = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs on this loop
        [sys.executable, "-m", "tests.chaos.soak", "--seconds", "600", "--out", str(history.parent)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # a shell's `&` ignores it
    )
    await until(lambda: history.exists() and '"fault"' in history.read_text(), "something is broken")
    started = family(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    await until(lambda: process.poll() is not None, "it ends")
    assert process.returncode == 130
    await until(lambda: not alive(started), "nothing is left")
