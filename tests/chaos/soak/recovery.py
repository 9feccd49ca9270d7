"""How long the fleet took to recover from each fault, and what the fault cost; from the history alone.

A fault affects what its ``scope`` says of what was open when it began: the steps that the process hit held, those that
waited for a claim, model calls under way, requests of clients. The recovery is the time from the end of the fault (for
a kill: from the kill) until the first of these that was still open then was done: the step ended. It is 0 when all of
them were done while the fault still lasted; a fault that met nothing has none. Of requests it is the first that was made
after the fault had begun: an answer that was on its way already proves nothing. ``whole`` is the time until the last of
what was open was done, other faults that hit it meanwhile included: an upper bound.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.checker import repeats
from tests.chaos.soak.history import Op

RECENT = 10.0
"""Seconds after which a fault is no cause any more."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault. Seconds; ``None`` when nothing was affected."""

    name: str
    pid: str
    """The process that was hit; empty for a server."""
    began: float
    ended: float
    first: float | None
    whole: float | None


@dataclass(frozen=True, slots=True)
class _Wait:
    """Something was open from ``began`` to ``left``, and done at ``done``, or never."""

    scopes: frozenset[str]
    pid: str
    began: float
    left: float
    done: float


def recoveries(history: Sequence[Op]) -> list[Recovery]:
    """Every fault, in the order in which they began."""
    waits = [*_steps(history), *_requests(history)]
    ends = {op.value["number"]: op.time for op in history if op.f == "fault" and op.type == "ok"}
    return [
        _recovery(op, ends.get(op.value["number"], op.time), waits)
        for op in history
        if op.f == "fault" and op.type == "info"
    ]


def extra_calls(history: Sequence[Op], faults: Sequence[Recovery]) -> dict[str, int]:
    """Repeated model calls by the fault that cut the earlier call off: that on its worker, or else the latest."""
    counts: dict[str, int] = defaultdict(int)
    begins = [fault.began for fault in faults]
    holders: dict[str, set[str]] = defaultdict(set)
    for op in history:
        if op.f == "attempt":
            holders[op.value["step"]].add(str(op.value["worker"]).rpartition(":")[2])
    for step, extra in repeats(history).items():
        for op in extra:
            begun = faults[: bisect_right(begins, op.time)]
            own = [fault for fault in begun if fault.pid in holders[step] and fault.ended > op.time - RECENT]
            counts[(own or begun)[-1].name if begun else "none"] += 1
    return counts


def _recovery(op: Op, ended: float, waits: Sequence[_Wait]) -> Recovery:
    scope, pid = op.value["scope"], str(op.value.get("pid") or "")
    meant = [wait for wait in waits if scope in wait.scopes and (scope != "held" or wait.pid == pid)]
    met = [wait.done for wait in meant if wait.began <= op.time < wait.left]
    firsts = [wait.done for wait in meant if wait.began >= op.time] if scope == "requests" else met
    late = [max(0.0, done - ended) for done in met]
    first = min((done - ended for done in firsts if done > ended), default=0.0) if firsts else None
    whole = max(late, default=None)
    return Recovery(op.value["fault"], pid, op.time, ended, first, whole)


def _steps(history: Sequence[Op]) -> list[_Wait]:
    """The times in which steps waited for a claim, and in which they were held."""
    attempts: dict[str, list[Op]] = defaultdict(list)
    for op in history:
        if op.f == "attempt":
            attempts[op.value["step"]].append(op)
    waits: list[_Wait] = []
    for op in history:
        if op.f != "step":
            continue
        since, done = op.value["created"], op.value["finished"] or float("inf")
        for attempt in sorted(attempts[op.value["id"]], key=lambda a: a.value["fence"]):
            claimed, finished = attempt.value["claimed"], attempt.value["finished"]
            pid = str(attempt.value["worker"]).rpartition(":")[2]
            waits.append(_Wait(frozenset({"queued", "open"}), "", since, claimed, done))
            held = {"held", "open", *(["reasoning"] if op.value["kind"] == "reason" else [])}
            waits.append(_Wait(frozenset(held), pid, claimed, finished, done))
            since = finished
        if done > since:
            waits.append(_Wait(frozenset({"queued", "open"}), "", since, done, done))
    return waits


def _requests(history: Sequence[Op]) -> list[_Wait]:
    """The times in which clients waited for an answer, across their own tries."""
    asked: dict[tuple[str, str], float] = {}
    waits: list[_Wait] = []
    for op in history:
        if op.f not in {"submit", "read", "cancel"}:
            continue
        if op.type == "invoke":
            asked.setdefault((op.process, op.f), op.time)
        elif op.type in {"ok", "fail"} and (op.process, op.f) in asked:
            waits.append(_Wait(frozenset({"requests"}), "", asked.pop((op.process, op.f)), op.time, op.time))
    return waits
