"""The checker finds what is planted, and nothing in a clean history."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import INVARIANTS, check
from tests.chaos.soak.history import History, Op, read
from tests.chaos.soak.recovery import recoveries
from tests.chaos.soak.table import last_line, lines, text

Ops = list[Op]
PAY = {"run": "r1", "step": "s1", "call": "c1", "key": "r1:s1:c1", "effect": "unsafe", "attempt": 1}


def op(time: float, process: str, type_: str, f: str, **value: Any) -> Op:
    return Op(process, type_, f, value, time)  # pyright: ignore[reportArgumentType]


def attempt(step: str, fence: int, outcome: str, claimed: float, finished: float) -> Op:
    value = {"step": step, "fence": fence, "attempt": 1, "outcome": outcome, "verdict": None, "worker": f"host:{fence}"}
    return op(50, "database", "ok", "attempt", **value, claimed=claimed, finished=finished)


def step(id_: str, seq: int, kind: str, fence: int, finished: float) -> Op:
    value = {"id": id_, "run": "r1", "seq": seq, "kind": kind, "fence": fence, "created": 0.5, "lease": None}
    return op(50, "database", "ok", "step", **value, state="succeeded", finished=finished)


def event(time: float, seq: int, type_: str) -> Op:
    return op(time, "client-0", "ok", "event", run="r1", seq=seq, type=type_)


EVENTS = ("run.queued", "step.succeeded", "run.succeeded")
CLEAN: Ops = [
    op(0, "client-0", "invoke", "submit", tenant="acme", key="k1"),
    op(0.1, "client-0", "info", "submit", tenant="acme", key="k1", error="no answer"),
    op(0.2, "client-0", "invoke", "submit", tenant="acme", key="k1"),
    op(0.5, "client-0", "ok", "submit", tenant="acme", key="k1", run="r1"),
    op(0.6, "client-0", "invoke", "spy", run="r1", what="get"),
    op(0.7, "client-0", "fail", "spy", run="r1", what="get", status=404),
    event(0.8, 1, EVENTS[0]),
    op(1.0, "provider", "info", "model_call", step="s0", fault=None),
    op(2.0, "nemesis", "invoke", "fault", number=1, fault="worker: kill -9", scope="held", target="worker-0"),
    op(2.0, "nemesis", "info", "fault", number=1, fault="worker: kill -9", scope="held", target="worker-0", pid=1),
    op(2.0, "nemesis", "ok", "fault", number=1, fault="worker: kill -9", scope="held", target="worker-0", pid=1),
    op(5.0, "provider", "ok", "model_call", step="s0", fault=None),
    op(6.1, "tool-1", "invoke", "effect", **PAY),
    op(6.2, "tool-1", "ok", "effect", **PAY, applied=True),
    event(6.4, 2, EVENTS[1]),
    event(6.5, 3, EVENTS[2]),
    op(7.0, "client-0", "invoke", "read", run="r1"),
    op(7.1, "client-0", "ok", "read", run="r1", status="succeeded"),
    op(50, "database", "ok", "run", id="r1", state="succeeded"),
    step("s0", 0, "reason", 2, 6.0),
    step("s1", 1, "tool", 1, 6.4),
    attempt("s0", 1, "hand_back", 1.0, 4.5),
    attempt("s0", 2, "succeed", 5.0, 6.0),
    attempt("s1", 1, "succeed", 6.0, 6.4),
    *(op(50, "database", "ok", "row_event", run="r1", seq=n, type=type_) for n, type_ in enumerate(EVENTS, 1)),
    op(60, "soak", "ok", "quiesce", ttl=2.0, most_in_flight=1),
]


def but(f: str, type_: str = "ok", nth: int = -1, **value: Any) -> Callable[[Ops], Ops]:
    """The history with the last (or nth) such operation saying something else."""

    def changed(ops: Ops) -> Ops:
        one = [o for o in ops if (o.f, o.type) == (f, type_)][nth]
        return [replace(o, value={**o.value, **value}) if o is one else o for o in ops]

    return changed


def without(f: str, nth: int = -1) -> Callable[[Ops], Ops]:
    """The history without the last (or nth) such operation."""

    def changed(ops: Ops) -> Ops:
        one = [o for o in ops if (o.f, o.type) == (f, "ok")][nth]
        return [o for o in ops if o is not one]

    return changed


def also(*more: Op) -> Callable[[Ops], Ops]:
    """The history with more operations."""
    return lambda ops: sorted([*ops, *more], key=lambda o: o.time)


AGAIN = (op(0.6, "client-1", "ok", "submit", tenant="acme", key="k1", run="r2"),)
LATE_READ = (
    op(8, "client-0", "invoke", "read", run="r1"),
    op(8.1, "client-0", "ok", "read", run="r1", status="running"),
)
LETTER = op(50, "database", "ok", "letter", run="r1", step="s1", verdict="backoff")
PLANTED: dict[str, tuple[str, str, Callable[[Ops], Ops]]] = {
    "an accepted run is gone": ("I1", "lost", without("run")),
    "an accepted run never ends": ("I1", "lost", but("run", state="waiting")),
    "a run is cancelled by nobody": ("I1", "broken", but("run", state="cancelled")),
    "a run fails": ("I1", "broken", but("run", state="failed")),
    "one key made two runs": ("I1", "doubled", also(*AGAIN, op(50, "database", "ok", "run", id="r2", state="succeeded"))),
    "a run needs review for a reason that passes": ("I1", "broken", lambda ops: also(LETTER)(but("run", state="needs_review")(ops))),
    "a step succeeds twice": ("I2", "doubled", also(attempt("s1", 2, "succeed", 7, 8))),
    "a step counts as done and nobody did it": ("I2", "lost", without("attempt")),
    "a step's number is left out": ("I2", "broken", but("step", seq=2)),
    "an event's number is left out": ("I2", "broken", but("row_event", seq=4)),
    "the database contradicts itself": ("I2", "broken", also(op(50, "database", "fail", "sql", what="a gap", rows=[]))),
    "the world applies an effect twice": ("I3", "doubled", also(op(6.3, "tool-2", "ok", "effect", **PAY, applied=True))),
    "a call comes under a second key": ("I3", "doubled", also(op(6.3, "tool-2", "invoke", "effect", **PAY | {"key": "r1:s9:c1"}))),
    "an unsafe call is made twice": ("I4", "doubled", also(op(6.3, "tool-2", "invoke", "effect", **PAY))),
    "an unsafe call begins after its lease": ("I4", "broken", but("attempt", outcome="bury", finished=6.05)),
    "a step is attempted after its success": ("I5", "doubled", also(attempt("s1", 2, "hand_back", 7, 8))),
    "two attempts overlap": ("I5", "broken", but("attempt", nth=0, finished=5.5)),
    "an old fence settles": ("I5", "broken", but("step", fence=2)),
    "an ended run is seen running": ("I6", "broken", also(*LATE_READ)),
    "a run has two ends": ("I6", "broken", but("read", status="failed")),
    "the database contradicts what a client has seen": ("I6", "broken", but("run", state="cancelled")),
    "a stream leaves an event out": ("I7", "broken", without("event", 1)),
    "a stream repeats an event": ("I7", "broken", also(event(6.45, 2, EVENTS[1]))),
    "an event changes": ("I7", "broken", but("row_event", nth=1, type="step.dead")),
    "a claim makes two calls": ("I8", "doubled", also(op(5.5, "provider", "ok", "model_call", step="s0", fault=None))),
    "more calls are repeated than the faults explain": ("I8", "broken", but("quiesce", most_in_flight=0)),
    "a stranger reads a run": ("I9", "broken", also(op(0.7, "client-1", "ok", "spy", run="r1", what="get"))),
    "a stranger learns that there is a run": ("I9", "broken", but("spy", "fail", status=409)),
    "a lease is forgotten": ("I10", "lost", but("step", lease=55.0)),
}  # fmt: skip


def test_a_clean_history_has_no_violation() -> None:
    assert check(CLEAN) == []


@pytest.mark.parametrize(("invariant", "damage", "plant"), PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_found(invariant: str, damage: str, plant: Callable[[Ops], Ops]) -> None:
    assert (invariant, damage) in {(found.invariant, found.damage) for found in check(plant(CLEAN))}


def test_every_invariant_is_planted_against() -> None:
    assert {invariant for invariant, _, _ in PLANTED.values()} == set(INVARIANTS)


def test_a_model_call_that_the_provider_spoilt_is_no_repeat_of_ours() -> None:
    spoilt = [replace(o, value={**o.value, "fault": "overloaded"}) if o.f == "model_call" else o for o in CLEAN]
    assert check(but("quiesce", most_in_flight=0)(spoilt)) == []


def test_recovery_is_from_the_kill_to_the_end_of_a_step_that_was_held() -> None:
    (kill,) = recoveries(CLEAN)
    assert (kill.first, kill.whole) == (4.0, 4.0)


def test_the_table_counts_damage_and_ends_with_the_line_for_machines() -> None:
    planted = PLANTED["an unsafe call is made twice"][2](CLEAN)
    table = lines(planted, check(planted))
    assert [(line.fault, line.doubled, line.extra_calls) for line in table] == [
        ("worker: kill -9", 1, 1),
        ("all", 1, 1),
    ]
    assert "worker: kill -9" in text(table)
    assert last_line(table, 1, check(planted)) == "faults=1 runs=1 lost=0 doubled=1 violations=1 recovery_p99_s=4.0"


def test_a_line_that_a_death_cut_off_is_left_out(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.add("client-0", "ok", "read", run="r1")
    history.close()
    whole = (tmp_path / "history").read_text()
    (tmp_path / "history").write_text(whole + whole[:20])
    assert [o.f for o in read(tmp_path / "history")] == ["read"]
