"""A client's, an operator's and a nemesis' moves. One for which there is nothing to move does nothing."""

from collections.abc import Awaitable, Callable

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from agentfleet.domain.errors import (
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ToolRetry,
)
from agentfleet.engine.submit import KeyReused, Submitted
from agentfleet.store import dead_letters, reads
from agentfleet.store.database import LOST_CONNECTION
from tests.chaos.aftermath import SCRIPTS, STRANGER, TENANTS, Aftermath
from tests.chaos.ledger import FINAL
from tests.chaos.moves import Move, move
from tests.chaos.world import DUTIES, LEASE, THRIFTY, WorkerProcess
from tests.factories import BUNDLE, new_run

TROUBLES: dict[str, Callable[[], Exception]] = {
    "429": lambda: ProviderRateLimited("429", retry_after=20),
    "529": lambda: ProviderOverloaded("529"),
    "500": lambda: ProviderUnavailable("500"),
    "spend cap": lambda: ProviderParked("spend cap"),
    "400": lambda: ProviderRejected("400"),
    "retry": lambda: ToolRetry(after=3),
    "bug": lambda: RuntimeError("nobody thought of this"),
}
WORK = ("claim_steps.before", "claim_steps.after", "model", "tool", "settle_steps.before", "settle_steps.after", "publish")  # fmt: skip
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
    "trouble": (None, *TROUBLES),
}


class Disorder(Aftermath):
    """The machine. Hypothesis draws its moves by their numbers."""

    @rule(number=st.integers(0, 2**24 - 1))
    def then(self, number: int) -> None:
        drawn = Move.drawn(number)
        note(f"    {drawn}")
        getattr(self, drawn.name)(**drawn.how)

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
        process.deliver(self._take(count, first, keep=copy), mishaps, trouble and TROUBLES[trouble]())

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

    @move(duty=sorted(DUTIES), which=ANY, point=ANY, mishap=MISHAPS)
    def do(self, duty, which, point, mishap) -> None:
        points = DUTIES[duty]
        self.world.reconcilers[which % 2].do(duty, {} if mishap is None else {points[point % len(points)]: mishap})

    @move(3, which=ANY)
    def do_everything(self, which) -> None:
        self._do_everything(which)

    def _do_everything(self, which: int) -> None:
        for duty in DUTIES:
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
