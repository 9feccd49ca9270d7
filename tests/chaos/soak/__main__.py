"""``python -m tests.chaos.soak --seconds 120 --seed 7``: break a fleet at random and check what it promised.

Ends with 0 when nothing was lost, doubled or broken, with 1 when something was; then the history and the logs stay.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.chaos.soak.play import Play, Verdict
from tests.chaos.soak.table import last_line, lines, text
from tests.zygote import ROOT, zygote

SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, play, report; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long things are broken (default: 120)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="default: random")
    parser.add_argument("--workers", type=int, default=3, help="step workers (default: 3)")
    parser.add_argument("--clients", type=int, default=12, help="runs at a time (default: 12)")
    parser.add_argument("--at-once", type=int, default=3, help="faults at a time, at most (default: 3)")
    parser.add_argument("--out", type=Path, help="directory for history and logs, which then stay")
    parser.add_argument("--json", action="store_true", help="the table as one line of JSON")
    arguments = parser.parse_args(argv)
    out = arguments.out and arguments.out.resolve()
    directory = out or Path(tempfile.mkdtemp(prefix="agentfleet-chaos-"))
    print(f"seed {arguments.seed}, {arguments.seconds:g} s, {arguments.workers} workers", flush=True)
    _start_the_zygote()
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep = True
    try:
        verdict = Play(directory, arguments).run()
        keep = bool(verdict.violations or out)
        _report(verdict, as_json=arguments.json)
    except KeyboardInterrupt:
        keep = bool(out)
        print("interrupted", flush=True)
        return 130
    finally:
        signal.signal(signal.SIGTERM, terminate)
        if keep:
            print(f"history and logs: {directory}", file=sys.stderr, flush=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if verdict.violations else 0


def _start_the_zygote() -> None:
    """Out of reach of Ctrl-C, as we end what it has started in our own order; and here, as it ends with its thread."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    zygote(ROOT)
    signal.signal(signal.SIGINT, handler)


def _report(verdict: Verdict, *, as_json: bool) -> None:
    table = lines(verdict.history, verdict.violations)
    if as_json:
        found = {"table": [asdict(line) for line in table], "violations": [asdict(v) for v in verdict.violations]}
        print(json.dumps(found))
    else:
        for violation in verdict.violations[:SHOWN]:
            print(f"{violation.invariant} {violation.damage}: {violation.what}")
        for note in verdict.notes:
            print(f"note: {note}")
        print(text(table))
    print(last_line(table, verdict.runs, verdict.violations), flush=True)


if __name__ == "__main__":
    sys.exit(main())
