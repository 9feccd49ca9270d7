"""A small soak, as a person would start it: nothing is lost, doubled or broken, and nothing is left running."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.acceptance.fleet import until

ROOT = Path(__file__).parents[2]
LAST = re.compile(r"faults=[1-9]\d* runs=[1-9]\d* lost=0 doubled=0 violations=0 recovery_p99_s=\d+\.\d+")


def soak(directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Started somewhere else, as its own session."""
    command = [sys.executable, "-m", "tests.chaos.soak", "--clients", "6", "--out", str(directory / "out"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def left(directory: Path) -> list[str]:
    """Processes that have this directory in their environment or on their command line."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(directory / "out").encode() in told:
            found.append(process.name)
    return found


async def test_a_small_soak_breaks_no_promise(tmp_path: Path) -> None:
    with soak(tmp_path, "--seconds", "6", "--seed", "3") as process:
        printed, _ = process.communicate()
    assert LAST.fullmatch(printed.splitlines()[-1]), printed
    assert process.returncode == 0
    assert left(tmp_path) == []


async def test_an_interrupted_soak_leaves_nothing_running(tmp_path: Path) -> None:
    with soak(tmp_path, "--seconds", "600", "--seed", "3") as process:
        await until(lambda: len(left(tmp_path)) > 5, "the fleet runs")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert left(tmp_path) == []
