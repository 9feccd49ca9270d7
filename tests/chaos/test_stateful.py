"""Any sequence of faults, on real Postgres, under frozen time: ten invariants hold after each, and every run ends.

Messages are lost, doubled, late and in any order; workers and reconcilers stall at any statement, call and message, lose
their connection there, die, drain, wake up; the provider refuses; clients cancel, replay, discard and repeat themselves.

I1 every accepted run ends. I2 each step succeeds once. I3 a call has one effect key. I4 an unsafe effect happens once.
I5 who no longer holds a step writes nothing. I6 an end is for ever. I7 events have no gap, whoever reads them from
where. I8 a model call is repeated only for a fault that hit it, and all that settled are in the cost. I9 a tenant sees
its own rows. I10 no lease is over for long. Those about rows are in ``tests.invariants``, the others in ``ledger``.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from agentfleet.domain.errors import (
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ToolRetry,
)
from agentfleet.domain.plan import Turn
from agentfleet.engine.submit import KeyReused, Submitted
from agentfleet.store import dead_letters, reads
from agentfleet.store.database import LOST_CONNECTION
from tests import invariants
from tests.chaos.figures import nightly
from tests.chaos.ledger import FINAL
from tests.chaos.world import LEASE, THRIFTY, WorkerProcess, World
from tests.factories import BUNDLE, new_run
from tests.scripted import USAGE, answer, ask_for

pytestmark = pytest.mark.timeout(3600 if nightly() else 300)

SETTINGS = settings(
    max_examples=600 if nightly() else 25,
    stateful_step_count=80 if nightly() else 40,
    derandomize=not nightly(),
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)

TENANTS, STRANGER = ("acme", "globex"), "umbrella"
TABLES = ("runs", "steps", "messages", "run_events", "request_keys", "dead_letters", "attempts")
SCRIPTS = (
    [answer()],
    [ask_for("pay"), answer()],
    [ask_for("book"), ask_for("look", "book"), answer()],
    [ask_for("pay", "pay"), answer()],
    [ask_for("look", "book", "pay"), answer()],
    [Turn("pause_turn", "[]", ""), ask_for("book", "book", "book"), answer()],
    [ask_for("look"), Turn("refusal", "[]", "")],
)
TROUBLES: tuple[Callable[[], Exception] | None, ...] = (
    None,
    lambda: ProviderRateLimited("429", retry_after=20),
    lambda: ProviderOverloaded("529"),
    lambda: ProviderUnavailable("500"),
    lambda: ProviderParked("spend cap"),
    lambda: ProviderRejected("400"),
    lambda: ToolRetry(after=3),
    lambda: RuntimeError("nobody thought of this"),
)
WORK = ("claim_steps.before", "claim_steps.after", "model", "tool", "settle_steps.before", "settle_steps.after", "publish")  # fmt: skip
ROUNDS = {
    "expire": ("overdue_runs.after", "end_runs.before", "end_runs.after"),
    "rescue": ("expired_leases.after", "settle_steps.before", "settle_steps.after"),
    "promote": ("promote_steps.after",),
    "dispatch": ("dispatch_steps.after", "publish"),
    "republish": ("republish_steps.after", "publish"),
}
"""The duties in the order in which one makes work for the next, and where each may be held up."""
MIDDLE = ("model", "tool", "tool", "settle_steps.before")
"""Where a worker has work in hand that is not written."""
MISHAPS = (None, None, "hold", "hold", "cut")
ANY = range(60)
"""Which one, of however many there are."""
MOST_RUNS = 3
"""The fewer, the more happens to each."""

DELIVERY = {
    "count": (1, 1, 2, 8),
    "first": ANY,
    "worker": ANY,
    "copy": (False, True),
    "point": WORK,
    "mishap": MISHAPS,
    "trouble": TROUBLES,
}

WEIGHTS: dict[str, int] = {}
ARGUMENTS: dict[str, Mapping[str, Sequence[Any]]] = {}


@dataclass
class Move:
    """A method of the machine and its arguments."""

    name: str
    how: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.how.items())})"

    @classmethod
    def drawn(cls, number: int) -> "Move":
        """The move of this number."""
        chance = Random(number)  # noqa: S311  # the same every time
        [name] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        return cls(name, {argument: chance.choice(values) for argument, values in ARGUMENTS[name].items()})


def move(weight: int = 1, **arguments: Sequence[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Something that may happen next, ``weight`` times as often as others.

    Hypothesis knows one rule, which has a number: rules as such have no weights, and it likes to leave most of them out
    and to repeat the others, which seldom leads deep. It still finds the few moves that break an invariant.
    """

    def add(method: Callable[..., None]) -> Callable[..., None]:
        WEIGHTS[method.__name__], ARGUMENTS[method.__name__] = weight, arguments
        return method

    return add


class Disorder(RuleBasedStateMachine):
    """A client's, an operator's and a nemesis' moves. One for which there is nothing to move does nothing."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()
        self.tenant_of: dict[str, str] = {}
        self.script_of: dict[str, int] = {}
        self.thrifty: set[str] = set()
        self.deadline: set[str] = set()
        self.discarded: set[str] = set()
        self.cancelled: set[str] = set()
        self.keys: dict[tuple[str, str], tuple[bytes, str]] = {}

    @property
    def runs(self) -> list[str]:
        return list(self.tenant_of)

    # -- the client

    @initialize(script=st.integers(1, 5))
    def begin(self, script: int) -> None:
        self._submit("acme", script, None, None, None, thrifty=False)

    @move(
        2,
        tenant=TENANTS,
        script=range(len(SCRIPTS)),
        key=(None, "k1", "k2"),
        deadline=(None, None, 100.0),
        cut=(None, None, "submit_runs.before", "submit_runs.after"),
        thrifty=(False, True),
    )
    def submit(self, tenant, script, key, deadline, cut, thrifty) -> None:
        self._submit(tenant, script, key, deadline, cut, thrifty=thrifty)

    def _submit(self, tenant, script, key, deadline, cut, *, thrifty) -> None:
        if len(self.runs) == MOST_RUNS:
            return
        fingerprint = None if key is None else bytes([script]) * 32
        bundle = THRIFTY if thrifty else BUNDLE
        run = new_run(bundle_id=bundle.id, deadline=deadline, key=key, fingerprint=fingerprint)
        self.world.scripts[run.run_id] = SCRIPTS[script]
        ingress = self.world.ingress
        ingress.line.mishaps = {} if cut is None else {cut: "cut"}
        first = self.keys.get((tenant, key))
        try:
            done = self._insist(lambda: ingress.submit(tenant, run), cut == "submit_runs.before" or first is not None)
        except KeyReused:
            assert first is not None
            assert first[0] != fingerprint
            return
        finally:
            ingress.line.mishaps = {}
        self.world.start()
        if first is None or key is None:
            assert done == Submitted(run.run_id, done.created_at)
            self.tenant_of[run.run_id], self.script_of[run.run_id] = tenant, script
            self.keys |= {} if key is None else {(tenant, key): (fingerprint, run.run_id)}
            self.thrifty |= {run.run_id} if thrifty else set()
            self.deadline |= set() if deadline is None else {run.run_id}
        else:
            assert (done.run_id, done.replayed) == (first[1], True)

    def _insist(self, ask: Callable[[], Awaitable[Submitted]], told: bool) -> Submitted:
        """As a client does that was told that nobody knows."""
        try:
            return self.world.run(ask())
        except LOST_CONNECTION:
            assert told, "a commit whose answer was lost is looked up"
            return self.world.run(ask())

    @move(which=ANY, stranger=(False, True), mishap=(None, None, "end_runs.before", "end_runs.after"))
    def cancel(self, which, stranger, mishap) -> None:
        run_id = self._one(self.runs, which)
        if run_id is None:
            return
        tenant = STRANGER if stranger else self.tenant_of[run_id]
        self.world.ingress.line.mishaps = {} if mishap is None else {mishap: "cut"}
        open_before = self.world.ledger.states[run_id] not in FINAL
        try:
            cancelled = self.world.run(self.world.ingress.canceller.cancel(run_id, tenant_id=tenant))
            assert cancelled == (open_before and not stranger)
        except LOST_CONNECTION:
            assert mishap is not None
        self.world.ingress.line.mishaps = {}
        if not stranger:
            self.cancelled.add(run_id)

    @move(which=ANY, replay=(False, True), stranger=(False, True))
    def review(self, which, replay, stranger) -> None:
        letter = self._one(
            self.world.rows("SELECT id::text, run_id::text FROM dead_letters WHERE state = 'open' ORDER BY id"), which
        )
        if letter is None:
            return
        letter_id, run_id = letter
        tenant, undertaker = STRANGER if stranger else self.tenant_of[run_id], self.world.ingress.undertaker
        if replay:
            assert self.world.run(undertaker.replay(tenant, [letter_id])) == ([] if stranger else [letter_id])
        else:
            assert self.world.run(undertaker.discard(tenant, letter_id)) is not stranger
            self.discarded |= set() if stranger else {run_id}

    # -- the broker

    @move(6, **DELIVERY)
    def deliver(self, **how) -> None:
        self._deliver(**how)

    @move(4, **{**DELIVERY, "count": (1,), "mishap": ("hold",), "trouble": (None,), "point": MIDDLE})
    def deliver_to_one_who_stalls(self, **how) -> None:
        self._deliver(**how)

    def _deliver(self, count, first, worker, copy, point, mishap, trouble) -> None:
        process = self.world.workers[worker % len(self.world.workers)]
        mishaps = {} if mishap is None else {point: mishap}
        process.deliver(self._take(count, first, keep=copy), mishaps, trouble and trouble())

    @move(2, worker=ANY)
    def deliver_everything_twice(self, worker) -> None:
        taken = self._take(100, 0, keep=False)
        self.world.workers[worker % len(self.world.workers)].deliver([*taken, *reversed(taken)], {})

    @move(count=(1, 2, 100), first=ANY)
    def lose(self, count, first) -> None:
        self._take(count, first, keep=False)

    @move(heard=(False, True))
    def revoke(self, heard) -> None:
        revoked, self.world.bells.revoked = set(self.world.bells.revoked), []
        for worker in self.world.workers if heard else ():
            worker.server.stop(revoked)
        self.world.start()

    # -- the workers

    @move(3, which=ANY)
    def wake_up(self, which) -> None:
        self._go_on(which)

    @move(3)
    def wake_up_who_sleeps_longest(self) -> None:
        self._go_on(0)

    @move(which=ANY)
    def wake_up_without_a_connection(self, which) -> None:
        self._go_on(which, cut=True)

    def _go_on(self, which: int, *, cut: bool = False) -> None:
        held = self._one(self.world.traffic.held, which)
        if held is not None:
            (held.cut if cut else held.go)()
            self.world.start()

    @move(which=ANY)
    def kill(self, which) -> None:
        self.world.workers[which % len(self.world.workers)].kill()
        self.world.workers[which % len(self.world.workers)] = WorkerProcess(self.world)

    @move(which=ANY, late=range(4))
    def drain(self, which, late) -> None:
        self.world.workers[which % len(self.world.workers)].drain(self._take(late, which, keep=False))
        self.world.workers[which % len(self.world.workers)] = WorkerProcess(self.world)

    @move(which=ANY, moment=("before", "after"), mishap=MISHAPS)
    def heartbeat(self, which, moment, mishap) -> None:
        worker = self.world.workers[which % len(self.world.workers)]
        worker.line.mishaps = {} if mishap is None else {f"renew_leases.{moment}": mishap}
        self.world.start(worker.leases.beat())
        worker.line.mishaps = {}

    # -- time and duties

    @move(seconds=(1.0, 6.0, 20.0, LEASE + 1, 600.0))
    def pass_time(self, seconds) -> None:
        self.world.pass_time(seconds)

    @move(seconds=(10.0, LEASE - 1))
    def pass_time_in_which_all_hearts_beat(self, seconds) -> None:
        for worker in self.world.workers:
            self.world.start(worker.leases.beat())
        self.world.pass_time(seconds)

    @move(duty=sorted(ROUNDS), which=ANY, point=ANY, mishap=MISHAPS)
    def do(self, duty, which, point, mishap) -> None:
        points = ROUNDS[duty]
        self.world.reconcilers[which % 2].do(duty, {} if mishap is None else {points[point % len(points)]: mishap})

    @move(3, which=ANY)
    def do_everything(self, which) -> None:
        self._do_everything(which)

    def _do_everything(self, which: int) -> None:
        for duty in ROUNDS:
            self.world.reconcilers[which % 2].do(duty, {})
        expired = self.world.rows("SELECT id FROM steps WHERE state = 'running' AND lease_until < agentfleet_now()")
        assert self.world.traffic.held or expired == [], "I10: a round of rescue leaves no lease that is over"

    @move(3, which=ANY)
    def everybody_is_too_late(self, which) -> None:
        self.world.pass_time(LEASE + 1)
        self._do_everything(which)

    @move(4, which=ANY, worker=ANY, point=MIDDLE)
    def everybody_is_too_late_and_the_successor_stalls(self, which, worker, point) -> None:
        self.world.pass_time(LEASE + 1)
        self._do_everything(which)
        self.world.workers[worker % len(self.world.workers)].deliver(self._take(100, 0, keep=False), {point: "hold"})

    # -- the readers

    @move(which=ANY, after=range(13), limit=range(1, 10))
    def read_events(self, which, after, limit) -> None:
        run_id = self._one(self.runs, which)
        if run_id is not None:
            self._read_events(run_id, after, limit)

    @move(which=ANY, tenant=(*TENANTS, STRANGER))
    def read_what_is_not_ours(self, which, tenant) -> None:
        run_id = self._one([run_id for run_id, owner in self.tenant_of.items() if owner != tenant], which)
        if run_id is None:
            return
        db, run = self.world.app_db, self.world.run
        (letter,) = self.world.rows("SELECT max(id::text) FROM dead_letters WHERE run_id::text = %s", run_id)[0]
        steps = [row[0] for row in self.world.rows("SELECT id FROM steps WHERE run_id::text = %s", run_id)]
        assert run(reads.runs_by_id(db, tenant, [run_id])) == [None]
        assert run(reads.step_page(db, tenant, run_id, after=-1, limit=9)) == []
        assert run(reads.attempts_of(db, tenant, steps)) == []
        assert run(reads.message_page(db, tenant, run_id, after=(-1, -1), limit=9)) == []
        assert run(reads.event_page(db, tenant, run_id, after=0, limit=9)) == []
        assert letter is None or run(dead_letters.get(db, tenant, letter)) is None

    # -- what always holds

    @rule(number=st.integers(0, 2**24 - 1))
    def then(self, number: int) -> None:
        drawn = Move.drawn(number)
        note(f"    {drawn}")
        getattr(self, drawn.name)(**drawn.how)

    @invariant()
    def everything_holds(self) -> None:
        ledger = self.world.ledger
        for run_id, state in self.world.rows("SELECT id::text, state FROM runs"):
            ledger.state(run_id, state)
        assert ledger.violations == []
        assert set(ledger.states) == set(self.runs), "I1: a run was lost, or appeared from nowhere"
        invariants.hold(self.world.owner)

    def teardown(self) -> None:
        """Heal everything: now every run has to end, and the books have to balance."""
        if sys.exc_info()[0] is not None:
            return
        self._heal()
        self.everything_holds()
        ledger = self.world.ledger
        stuck = self.world.rows(
            "SELECT r.id, r.state, s.state, s.kind, s.name FROM runs r JOIN steps s ON s.run_id = r.id WHERE r.finished_at IS NULL AND s.state NOT IN ('succeeded', 'cancelled')"
        )
        assert stuck == [], "I1"
        assert self.world.rows("SELECT id FROM steps WHERE state = 'running'") == [], "I10"
        for run_id, state in ledger.states.items():
            assert state in self._possible_ends(run_id), f"{run_id} ended as {state}"
            self._read_events(run_id, 0, 1000)
        assert len(set(ledger.keys.values())) == len(ledger.keys), "I3: two calls share an effect key"
        assert ledger.calls - ledger.paid.total() <= ledger.excuses, "I8: model calls were repeated for nothing"
        for run_id, cost in self.world.rows("SELECT id::text, cost_usd FROM runs"):
            assert cost == USAGE.cost_usd * ledger.paid[run_id], "I8: a settled call is not in the cost"
        for table in TABLES:
            own = sum(self.world.seen_by(tenant, table) for tenant in TENANTS)
            assert [(own,)] == self.world.rows(f"SELECT count(*) FROM {table}"), "I9"  # noqa: S608
            assert self.world.seen_by(STRANGER, table) == 0, "I9"

    def _heal(self) -> None:
        world = self.world
        for _ in range(100):
            while world.traffic.held:
                world.traffic.held[0].go()
                world.start()
            world.workers[0].deliver(self._take(1000, 0, keep=False), {})
            if not world.rows("SELECT FROM runs WHERE finished_at IS NULL"):
                return
            world.pass_time(700)
            for duty in ROUNDS:
                world.reconcilers[0].do(duty, {})
            for letter_id, tenant in world.rows("SELECT id::text, tenant_id FROM dead_letters WHERE state = 'open'"):
                world.run(world.ingress.undertaker.replay(tenant, [letter_id]))

    def _possible_ends(self, run_id: str) -> set[str]:
        refused = SCRIPTS[self.script_of[run_id]][-1].stop_reason == "refusal"
        return (
            {"failed" if refused else "succeeded"}
            | ({"cancelled"} if run_id in self.cancelled else set())
            | ({"expired"} if run_id in self.deadline else set())
            | ({"failed"} if run_id in self.discarded or run_id in self.thrifty else set())
        )

    def _read_events(self, run_id: str, after: int, limit: int) -> None:
        page = self.world.run(
            reads.event_page(self.world.app_db, self.tenant_of[run_id], run_id, after=after, limit=limit)
        )
        self.world.ledger.told(run_id, after, [(event.seq, event.type, event.data) for event in page])

    def _take(self, count: int, first: int, *, keep: bool) -> list[str]:
        """Some messages, from somewhere in the middle."""
        rung = self.world.bells.rung
        start = first % len(rung) if rung else 0
        taken = rung[start : start + count]
        if not keep:
            del rung[start : start + count]
        return [bell.step_id for bell in taken]

    @staticmethod
    def _one(things, which):
        return things[which % len(things)] if things else None


def test_every_invariant_holds_after_any_sequence_of_faults(database_url: str) -> None:
    world = World(database_url)

    class ThisDisorder(Disorder):
        pass

    ThisDisorder.world = world
    try:
        run_state_machine_as_test(ThisDisorder, settings=SETTINGS)
    finally:
        world.close()
