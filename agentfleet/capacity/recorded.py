"""Arrivals that were recorded, from a CSV or JSONL file.

One row is a time and, if there is one, a count of steps: ``at,steps`` as `agentfleet capacity record` writes it, or the
same as JSON objects, one a line. A time is ISO 8601 or a number of seconds. Steps of a row with a count are spread
evenly until the next row's time.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from typing import Any

from agentfleet.domain.errors import InvalidInput

LAST = 60.0
"""Seconds over which the steps of an only row are spread."""
MOST = 2_000_000
"""Steps of a recording: more would take the simulator minutes."""
LONGEST = 31 * 86_400.0
"""Seconds from the first row to the last: the simulator goes through them one by one."""


def read(lines: Iterable[str], name: str) -> list[float]:
    """Times of arrivals in seconds from the first row on. Raises ``InvalidInput`` with the file's name and line."""
    rows = [_row(fields, f"{name}, line {number}") for number, fields in _fields(lines, name)]
    if not rows:
        raise InvalidInput(name, "has no arrivals; it needs rows with a time, such as 2026-11-21T20:00:00Z,12")
    for place, ((before, _), (at, _)) in enumerate(pairwise(rows), 2):
        if at < before:
            raise InvalidInput(name, f"row {place} is earlier than the one before: sort by time")
    if (steps := sum(count or 1 for _, count in rows)) > MOST:
        raise InvalidInput(name, f"has {steps:,} steps; at most {MOST:,} are simulated: cut a part out")
    if rows[-1][0] - rows[0][0] > LONGEST:
        raise InvalidInput(name, f"covers more than {LONGEST / 86_400:.0f} days: cut a part out")
    return list(_spread(rows))


def _fields(lines: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    kept = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if kept and kept[0][1].startswith("{"):
        for number, line in kept:
            yield number, _object(line, f"{name}, line {number}")
        return
    header = ["at", "steps"]
    if kept and kept[0][1].lower().replace(" ", "") in ("at", "at,steps"):
        kept = kept[1:]
    for number, line in kept:
        values = next(csv.reader([line]))
        if len(values) > len(header):
            raise InvalidInput(f"{name}, line {number}", f"has {len(values)} columns; expected `at` or `at,steps`")
        yield number, dict(zip(header, values, strict=False))


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InvalidInput(where, f"is not JSON ({error}), though the first line is") from error
    if not isinstance(found, dict) or "at" not in found:
        raise InvalidInput(where, 'is not an object with `at`, such as {"at": "2026-11-21T20:00:00Z", "steps": 12}')
    return found  # pyright: ignore[reportUnknownVariableType]  # JSON: any values


def _row(fields: dict[str, Any], where: str) -> tuple[float, int | None]:
    at, steps = fields["at"], fields.get("steps")
    if steps in (None, ""):
        return _time(at, where), None
    try:
        count = int(str(steps))
    except ValueError:
        count = -1
    if count < 0:
        raise InvalidInput(where, f"steps: {steps!r} is not a count, which is a whole number from 0 on")
    return _time(at, where), count


def _time(value: Any, where: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        pass
    else:
        if isfinite(seconds):
            return seconds
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise InvalidInput(where, f"at: {value!r} is neither ISO 8601 nor a number of seconds") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _spread(rows: list[tuple[float, int | None]]) -> Iterator[float]:
    begin = rows[0][0]
    for place, (at, count) in enumerate(rows):
        if count is None:
            yield at - begin
            continue
        before = at - rows[place - 1][0] if place else LAST
        length = rows[place + 1][0] - at if place + 1 < len(rows) else before
        yield from (at - begin + length * step / count for step in range(count))
