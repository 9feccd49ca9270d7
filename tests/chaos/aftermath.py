"""What holds after every move, how everything heals, and the books that must balance then."""

import sys

from hypothesis.stateful import RuleBasedStateMachine, invariant

from agentfleet.domain.budget import Budget
from agentfleet.domain.plan import Turn
from agentfleet.store import budgets, reads
from tests import invariants
from tests.chaos.world import DUTIES, World
from tests.scripted import USAGE, answer, ask_for

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


WAITING_FOR_MONEY = (
    "SELECT DISTINCT run_id::text, tenant_id FROM steps WHERE state = 'waiting' AND blocked_on = 'budget'"
)


class Aftermath(RuleBasedStateMachine):
    """A world, what its client knows of the runs, and ten invariants: see ``test_stateful``."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()
        self.tenant_of: dict[str, str] = {}
        self.script_of: dict[str, int] = {}
        self.deadline: set[str] = set()
        self.discarded: set[str] = set()
        self.cancelled: set[str] = set()
        self.keys: dict[tuple[str, str], tuple[bytes, str]] = {}

    @property
    def runs(self) -> list[str]:
        return list(self.tenant_of)

    @invariant()
    def everything_holds(self) -> None:
        ledger = self.world.ledger
        for run_id, state in self.world.rows("SELECT id::text, state FROM runs"):
            ledger.state(run_id, state)
        assert not ledger.violations, ledger.violations
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
        assert not stuck, f"I1: {stuck}"
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
            for duty in DUTIES:
                world.reconcilers[0].do(duty, {})
            for letter_id, tenant in world.rows("SELECT id::text, tenant_id FROM dead_letters WHERE state = 'open'"):
                world.run(world.ingress.undertaker.replay(tenant, [letter_id]))
            for run_id, tenant in world.rows(WAITING_FOR_MONEY):
                world.run(budgets.change(world.app_db, tenant, run_id, Budget(), version=None))

    def _possible_ends(self, run_id: str) -> set[str]:
        refused = SCRIPTS[self.script_of[run_id]][-1].stop_reason == "refusal"
        return (
            {"failed" if refused else "succeeded"}
            | ({"cancelled"} if run_id in self.cancelled else set())
            | ({"expired"} if run_id in self.deadline else set())
            | ({"failed"} if run_id in self.discarded else set())
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
