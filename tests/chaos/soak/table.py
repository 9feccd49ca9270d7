"""What the soak prints at its end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.chaos.checker import Violation
from tests.chaos.figures import quantile
from tests.chaos.soak.history import Op
from tests.chaos.soak.recovery import Recovery, extra_calls, recoveries

HEAD = ("fault", "count", "p50 s", "p99 s", "whole s", "lost", "doubled", "extra calls")


@dataclass(frozen=True, slots=True)
class Line:
    """All faults of one name. ``p50`` and ``p99`` of the recovery; ``whole``: the longest until all was done."""

    fault: str
    count: int
    p50: float | None
    p99: float | None
    whole: float | None
    lost: int
    doubled: int
    extra_calls: int


def lines(history: Sequence[Op], violations: Sequence[Violation]) -> list[Line]:
    """One per name, and one for all; damage counts for the fault that had begun last when it was done."""
    faults = recoveries(history)
    extra, names = extra_calls(history, faults), sorted({fault.name for fault in faults})
    damage = [(_cause(faults, violation.time), violation.damage) for violation in violations]

    def line(name: str, of: Sequence[Recovery], calls: int, harm: Sequence[str]) -> Line:
        firsts, wholes = ([v for v in vs if v is not None] for vs in ([f.first for f in of], [f.whole for f in of]))
        p50, p99 = (round(quantile(firsts, share), 3) if firsts else None for share in (0.5, 0.99))
        whole = round(max(wholes), 3) if wholes else None
        return Line(name, len(of), p50, p99, whole, harm.count("lost"), harm.count("doubled"), calls)

    found = [
        line(
            name,
            [fault for fault in faults if fault.name == name],
            extra.get(name, 0),
            [kind for cause, kind in damage if cause == name],
        )
        for name in names
    ]
    return [*found, line("all", faults, sum(extra.values()), [kind for _, kind in damage])]


def text(table: Sequence[Line]) -> str:
    """The table in columns."""
    body = [["" if value is None else str(value) for value in asdict(line).values()] for line in table]
    widths = [max(map(len, column)) for column in zip(HEAD, *body, strict=True)]
    rows = [HEAD, tuple("-" * width for width in widths), *body]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def last_line(table: Sequence[Line], runs: int, violations: Sequence[Violation]) -> str:
    """The one for machines."""
    total = table[-1]
    return (
        f"faults={total.count} runs={runs} lost={total.lost} doubled={total.doubled}"
        f" violations={len(violations)} recovery_p99_s={total.p99 or 0.0}"
    )


def _cause(faults: Sequence[Recovery], time: float) -> str:
    begun = [fault.name for fault in faults if fault.began <= time]
    return begun[-1] if begun else "none"
