"""Hold what the chaos tests noted against the fault matrix: ``python -m tests.chaos.report FIGURES [--record COMMIT]``.

FIGURES is the file that AGENTFLEET_CHAOS_FIGURES named. Prints a table; exits with 1 when a row has no figures or is out
of its bounds. ``--record`` keeps the figures, with today's date, as the measured column of docs/guarantees.md.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.matrix import ROWS, Row

DOCS = Path(__file__).parents[2] / "docs"
RECORDED = Path(__file__).parent / "recorded.json"
TABLE = re.compile(
    r"(?<=<!-- the fault matrix, by tests.chaos.report -->\n).*(?=<!-- end of the fault matrix -->)", re.DOTALL
)
Figures = Mapping[str, Any]


def load(path: Path) -> dict[str, dict[str, Any]]:
    """The figures of each row: of several notes the worst of each bounded figure counts, and ``n`` is their sum."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        note = json.loads(line)
        seen = found.setdefault(note["row"], {})
        for key, value in note.items():
            if key == "n":
                seen[key] = seen.get(key, 0) + value
            elif isinstance(value, int | float):
                seen[key] = max(value, seen.get(key, value))
    return found


def problems(row: Row, figures: Figures | None) -> list[str]:
    """What is wrong with the figures of ``row``."""
    if figures is None:
        return ["not measured"]
    missing = [f"{key} was not noted" for key in row.bounds if key not in figures]
    return missing + [
        f"{key}={figures[key]:g} > {bound:g}" for key, bound in row.bounds.items() if figures.get(key, 0) > bound
    ]


def measured(figures: Figures) -> str:
    """The figures in words: ``n=50 p50_s=0.4 lost=0``."""
    return " ".join(f"{key}={value:g}" for key, value in figures.items() if isinstance(value, int | float))


def table(recorded: Mapping[str, Figures]) -> str:
    """The fault matrix as Markdown."""
    lines = ["| | fault | what happens | gate | measured | test |", "| --- | --- | --- | --- | --- | --- |"]
    for row in ROWS:
        figures = recorded.get(row.id)
        when = "" if figures is None else f"`{measured(figures)}` ({figures['date']}, {figures['commit']})"
        file, _, name = row.test.partition("::")
        link = f"[{name}](../tests/chaos/{file})"
        lines.append(f"| {row.id} | {row.fault} | {row.expected} | {row.gate} | {when} | {link} |")
    return "\n".join(lines) + "\n"


def page(recorded: Mapping[str, Figures], text: str) -> str:
    """docs/guarantees.md with its table as it should be."""
    return TABLE.sub(lambda _: table(recorded), text)


def main(arguments: Sequence[str]) -> int:
    """Compare, print, record; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("figures", type=Path, nargs="?", help="what AGENTFLEET_CHAOS_FIGURES named")
    parser.add_argument("--record", metavar="COMMIT", help="keep the figures, as those of this commit")
    given = parser.parse_args(arguments)
    found = load(given.figures) if given.figures else {}
    wrong = 0
    for row in ROWS if given.figures else ():
        bad = problems(row, found.get(row.id))
        wrong += bool(bad)
        print(f"{row.id:<4} {'FAIL' if bad else 'ok':<4} {measured(found.get(row.id, {}))}  {'; '.join(bad)}")
    recorded = json.loads(RECORDED.read_text())
    if given.record:
        about = {"date": datetime.now(UTC).date().isoformat(), "commit": given.record}
        recorded |= {row: figures | about for row, figures in found.items()}
        RECORDED.write_text(
            json.dumps(dict(sorted(recorded.items(), key=lambda one: int(one[0][1:]))), indent=1) + "\n"
        )
    guarantees = DOCS / "guarantees.md"
    guarantees.write_text(page(recorded, guarantees.read_text("utf-8")), "utf-8")
    if given.figures:
        print(f"rows={len(ROWS)} failed={wrong}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
