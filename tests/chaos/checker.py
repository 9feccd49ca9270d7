"""The checker: from a history to what was promised and not kept. One pure function per invariant, I1 to I10.

What the history holds, by ``f`` (see ``tests.chaos.soak.history`` for the lines):

==============================  ==================================================================================
``submit`` ``read`` ``cancel``  requests of clients: ``tenant``, ``key``, ``run``, ``status``
``event``                       an event that a client got from a stream: ``run``, ``seq``, ``type``
``spy``                         a request about another tenant's ``run``; ``status`` is that of the refusal
``effect``                      a call of a tool: ``run``, ``call``, ``key``, ``step``, ``effect``, ``attempt``
``model_call``                  from the provider's log: ``step``; ``fault`` is what the provider itself did wrong
``fault``                       invoke: it begins; info: it is inflicted; ok: it is over
``run`` ``step`` ``attempt``    the rows of the database when all was quiet again
``row_event`` ``letter``        events and dead letters, likewise
``sql``                         fail: an invariant of ``tests.invariants`` is broken, and by which ``rows``
``quiesce``                     the end: ``ttl`` of leases, ``most_in_flight`` calls at the provider
==============================  ==================================================================================
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from tests.chaos.soak.history import Op, Type

Damage = Literal["lost", "doubled", "broken"]
FINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
AT_REST = FINAL | {"needs_review"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was not kept; ``time`` is when, as far as the history knows."""

    invariant: str
    damage: Damage
    what: str
    time: float


Found = Iterator[tuple[Damage, str, float]]


def check(history: Sequence[Op]) -> list[Violation]:
    """Everything that is wrong with a history, whose operations come in the order of their times."""
    return [
        Violation(name, damage, what, time) for name, find in INVARIANTS.items() for damage, what, time in find(history)
    ]


def of(history: Sequence[Op], f: str, *types: Type) -> list[Op]:
    """The operations of one kind that ended (or began) like this."""
    return [op for op in history if op.f == f and op.type in (types or ("ok",))]


def rows(history: Sequence[Op], f: str) -> dict[str, dict[str, Any]]:
    """The rows of one table, by their id."""
    return {op.value["id"]: dict(op.value) for op in of(history, f)}


def grouped(ops: Sequence[Op], *names: str) -> dict[tuple[Any, ...], list[Op]]:
    """By the values of these names."""
    groups: dict[tuple[Any, ...], list[Op]] = defaultdict(list)
    for op in ops:
        groups[tuple(op.value[name] for name in names)].append(op)
    return groups


def accepted_runs_end(history: Sequence[Op]) -> Found:
    """I1: what was accepted is at rest by the deadline, as somebody asked, and once however often it was submitted."""
    runs, letters = rows(history, "run"), grouped(of(history, "letter"), "run")
    asked = {op.value["run"] for op in of(history, "cancel", "invoke")}
    for (tenant, key), accepted in grouped(of(history, "submit"), "tenant", "key").items():
        ids = {op.value["run"] for op in accepted}
        if len(ids) > 1:
            yield "doubled", f"key {key} of {tenant} made {len(ids)} runs", accepted[-1].time
        for run_id in ids:
            state = runs[run_id]["state"] if run_id in runs else "gone"
            excuses = {letter.value["verdict"] for letter in letters.get((run_id,), ())}
            if state not in AT_REST:
                yield "lost", f"run {run_id} was accepted and is {state}", accepted[0].time
            elif state in {"failed", "expired"} or (state == "cancelled" and run_id not in asked):
                yield "broken", f"run {run_id} is {state}, and nobody asked for that", accepted[0].time
            elif state == "needs_review" and not excuses & {"unknown_effect", "poison"}:
                yield "broken", f"run {run_id} needs review for {excuses or 'nothing'}", accepted[0].time


def steps_commit_once(history: Sequence[Op]) -> Found:
    """I2: a step succeeds once; steps and events are numbered without a gap; the database agrees with itself."""
    steps = of(history, "step")
    successes = Counter(op.value["step"] for op in of(history, "attempt") if op.value["outcome"] == "succeed")
    for op in steps:
        wanted, count = int(op.value["state"] == "succeeded"), successes[op.value["id"]]
        if count != wanted:
            damage: Damage = "doubled" if count > wanted else "lost"
            yield damage, f"step {op.value['id']} is {op.value['state']} and succeeded {count} times", _ended(op)
    for first, ops in ((0, steps), (1, of(history, "row_event"))):
        for (run_id,), numbered in grouped(ops, "run").items():
            numbers = sorted(op.value["seq"] for op in numbered)
            if numbers != list(range(first, first + len(numbers))):
                yield "broken", f"run {run_id} numbers its {numbered[0].f}s {numbers}", numbered[0].time
    for op in of(history, "sql", "fail"):
        yield "broken", f"{op.value['what']}: {op.value['rows']}", op.time


def effects_happen_once(history: Sequence[Op]) -> Found:
    """I3: the world applies one effect per key, and a call has one key however often it is made."""
    for (key,), done in grouped(of(history, "effect"), "key").items():
        if sum(op.value["applied"] for op in done) > 1:
            yield "doubled", f"effect {key} was applied more than once", done[-1].time
    for (run_id, call), made in grouped(of(history, "effect", "invoke"), "run", "call").items():
        if len({op.value["key"] for op in made}) > 1:
            yield "doubled", f"call {call} of run {run_id} was made under several keys", made[-1].time


def unsafe_calls_happen_once(history: Sequence[Op]) -> Found:
    """I4: a call of an unsafe tool starts once, and not after the database has given its attempt up."""
    unsafe = [op for op in of(history, "effect", "invoke") if op.value["effect"] == "unsafe"]
    ends = {op.value["step"]: op.value["finished"] for op in of(history, "attempt") if op.value["outcome"] == "bury"}
    for (run_id, call), made in grouped(unsafe, "run", "call").items():
        if len(made) > 1:
            yield "doubled", f"unsafe call {call} of run {run_id} was made {len(made)} times", made[-1].time
        for op in made:
            if op.time > ends.get(op.value["step"], op.time):
                yield "broken", f"unsafe call {call} of run {run_id} began after its attempt was over", op.time


def stale_fences_write_nothing(history: Sequence[Op]) -> Found:
    """I5: attempts at a step follow each other; nothing follows the one that succeeded, and it had the last fence."""
    fences = {op.value["id"]: op.value["fence"] for op in of(history, "step")}
    for (step,), attempts in grouped(of(history, "attempt"), "step").items():
        attempts.sort(key=lambda op: op.value["fence"])
        for before, after in pairwise(attempts):
            if before.value["outcome"] == "succeed":
                yield "doubled", f"step {step} was attempted again after it had succeeded", after.value["claimed"]
            if after.value["claimed"] < before.value["finished"]:
                yield "broken", f"two attempts at step {step} overlap", after.value["claimed"]
        last = attempts[-1].value
        if last["outcome"] == "succeed" and last["fence"] != fences[step]:
            what = f"step {step} was settled with fence {last['fence']}, and {fences[step]} had been given out"
            yield "broken", what, last["finished"]


def ends_are_final(history: Sequence[Op]) -> Found:
    """I6: once a client has seen a run's end, every answer to a later request, and the database, show the same end."""
    ends: dict[str, tuple[str, float]] = {}
    began: dict[tuple[str, str], float] = {}
    for op in history:
        if op.f not in {"read", "cancel", "event", "run"}:
            continue
        run_id = op.value["id"] if op.f == "run" else op.value["run"]
        status = _status(op)
        if op.type == "invoke":
            began[op.process, run_id] = op.time
        elif run_id not in ends and status in FINAL:
            ends[run_id] = (status, op.time)
        elif run_id in ends and status is not None:
            end, seen_at = ends[run_id]
            later = op.f == "run" or (op.f != "event" and began.get((op.process, run_id), seen_at) > seen_at)
            if status != end and (later or status in FINAL):
                yield "broken", f"run {run_id} was seen {end}, and then {status}", op.time


def streams_have_no_gap(history: Sequence[Op]) -> Found:
    """I7: the events that a client gets of a run are numbered 1, 2, 3 over all its connections."""
    known = {(op.value["run"], op.value["seq"]): op.value["type"] for op in of(history, "row_event")}
    last: Counter[tuple[str, str]] = Counter()
    for op in of(history, "event"):
        stream, seq = (op.process, op.value["run"]), op.value["seq"]
        if seq != last[stream] + 1:
            yield "broken", f"{op.process} got event {seq} of run {op.value['run']} after {last[stream]}", op.time
        if known.get((op.value["run"], seq)) != op.value["type"]:
            yield "broken", f"event {seq} of run {op.value['run']} was {op.value['type']} and is no more", op.time
        last[stream] = seq


def model_calls_are_few(history: Sequence[Op]) -> Found:
    """I8: a claim makes one call at most; the calls that are repeated are at most those in flight at the faults."""
    claims = {op.value["id"]: op.value["fence"] for op in of(history, "step")}
    calls = grouped(of(history, "model_call", "ok", "info"), "step")
    for (step,), made in calls.items():
        if len(made) > claims.get(step, 0):
            yield (
                "doubled",
                f"step {step} was claimed {claims.get(step, 0)} times and made {len(made)} calls",
                made[-1].time,
            )
    faults, end = len(of(history, "fault", "invoke")), of(history, "quiesce")
    repeated = sum(len(extra) for extra in repeats(history).values())
    allowed = faults * end[-1].value["most_in_flight"] if end else 0
    if repeated > allowed:
        yield "broken", f"{repeated} calls were repeated; {faults} faults explain {allowed}", history[-1].time


def repeats(history: Sequence[Op]) -> dict[str, list[Op]]:
    """Calls beyond the first one of a step; those that the provider itself spoilt led to none of ours."""
    calls = grouped(of(history, "model_call", "ok", "info"), "step")
    return {
        step: extra
        for (step,), made in calls.items()
        if (extra := [after for before, after in pairwise(made) if not before.value["fault"]])
    }


def tenants_are_apart(history: Sequence[Op]) -> Found:
    """I9: about another tenant's run nobody learns more than that there is none."""
    for op in of(history, "spy", "ok", "fail"):
        if op.type == "ok" or op.value["status"] != 404:
            yield "broken", f"run {op.value['run']}: {op.value['what']} by a stranger ended {op.type}", op.time


def no_lease_is_forgotten(history: Sequence[Op]) -> Found:
    """I10: when all is quiet, no lease has been over for longer than it lasts."""
    for end in of(history, "quiesce"):
        for op in of(history, "step"):
            over = end.time - op.value["lease"] if op.value["lease"] is not None else 0.0
            if over > end.value["ttl"]:  # hence it has not been renewed for twice as long
                yield "lost", f"the lease of step {op.value['id']} has been over for {over:.1f} s", op.value["lease"]


def _status(op: Op) -> str | None:
    """The state of a run that an operation shows; of events, only the ends are one."""
    if op.type != "ok":
        return None
    if op.f == "event":
        status = op.value["type"].removeprefix("run.")
        return status if status in FINAL else None
    return op.value["state"] if op.f == "run" else op.value["status"]


def _ended(step: Op) -> float:
    return step.value["finished"] or step.time


INVARIANTS: dict[str, Callable[[Sequence[Op]], Found]] = {
    "I1": accepted_runs_end,
    "I2": steps_commit_once,
    "I3": effects_happen_once,
    "I4": unsafe_calls_happen_once,
    "I5": stale_fences_write_nothing,
    "I6": ends_are_final,
    "I7": streams_have_no_gap,
    "I8": model_calls_are_few,
    "I9": tenants_are_apart,
    "I10": no_lease_is_forgotten,
}
