"""Which cases there are: how every point is reached, at which steps, and what can be done there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import agentfleet.api.app
import agentfleet.bootstrap
import agentfleet.broker.app  # noqa: F401  # they declare the points
from agentfleet.failpoints import POINTS

FIRST, IDEMPOTENT, UNSAFE, FINAL = "first reason", "idempotent tool", "unsafe tool", "final reason"
EVERY = {FIRST: 1, IDEMPOTENT: 2, UNSAFE: 4, FINAL: 5}
"""With one run in flight, the Nth pass of a point that every step passes is the Nth step's."""
REASONS = {FIRST: 1, FINAL: 3}
TOOLS = {IDEMPOTENT: 1, UNSAFE: 2}
NOT_LAST = {FIRST: 1, IDEMPOTENT: 2, UNSAFE: 4}
"""The last step has no next one that could be sent."""
ONCE = dict.fromkeys(EVERY, 1)
"""The process is started when the step is where the point concerns it."""
ANY = {"any": 1}

UNREACHED = {
    "lock_runs": "travels in one round trip with end_runs, which is the point",
    "lock_trees": "travels in one round trip with end_runs, which is the point",
    **dict.fromkeys(
        ("alarm_budgets", "cap_tenant", "change_budget", "open_run_budget", "read_day", "read_lineage"),
        "one transaction each, and repeating it changes nothing: people, producers and settlements ask again",
    ),
    **dict.fromkeys(
        ("admit_steps", "expect_waiting", "next_waiting", "waiting_buckets"),
        "of admission, whose deaths are in tests/integration/engine/test_admit.py",
    ),
    **dict.fromkeys(
        ("mark_alert", "raise_alert", "resolve_alert", "take_alerts"),
        "one row each: what a death leaves untold is told by the next round, see tests/integration/engine/test_alert.py",
    ),
    **dict.fromkeys(("read_waiting", "sum_usage"), "reads for people, who ask again"),
    **dict.fromkeys(("record_load", "sample_steps"), "measures: what a death leaves out is measured in the next round"),
    **dict.fromkeys(
        ("archive", "due_runs", "export_runs", "forget_runs", "prune_request_keys", "strip_runs"),
        "of retention, whose deaths are in tests/retention/test_deaths.py",
    ),
    "lock_reviews": "travels in one round trip with replay_dead_letters, which is the point",
    **dict.fromkeys(
        (
            "close_batch",
            "create_batch",
            "find_batches",
            "find_known_batches",
            "find_unbatched",
            "mark_batch_items",
            "open_batch",
            "read_batch_items",
            "record_batch",
            "store_batch_results",
        ),
        "of the batch lane, whose deaths are in tests/acceptance/test_batches.py",
    ),
}
"""Points that no process passes, and why."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who passes a point, in which scene (see ``scenes``), and at which pass for which kind of step."""

    point: str
    process: str
    scene: str
    steps: Mapping[str, int]
    first: str = ""
    """A failpoint that has to fire before, ``{n}`` being the pass; then this one counts from 1."""


ROUTES = (
    Route("receive", "steps", "flow", EVERY),
    Route("claim_steps", "steps", "flow", EVERY),
    Route("find_bundles", "steps", "flow", {FIRST: 1}),
    Route("reserve_budget", "steps", "capped", EVERY),
    Route("open_day", "steps", "capped", {FIRST: 1}),
    Route("reason", "steps", "flow", REASONS),
    Route("stream", "steps", "flow", REASONS),
    Route("tool", "steps", "flow", TOOLS),
    Route("renew_leases", "steps", "slow", ONCE),
    Route("settle_steps", "steps", "flow", EVERY),
    Route("read_settled", "steps", "flow", EVERY, first="settle_steps.after:raise@{n}"),
    Route("read_free", "steps", "locked", {IDEMPOTENT: 1, UNSAFE: 1}),
    Route("publish", "steps", "flow", NOT_LAST),
    Route("wake", "steps", "backlog", NOT_LAST),
    Route("acknowledge", "steps", "flow", EVERY),
    Route("bury_message", "steps", "poison", ANY),
    Route("recall_steps", "steps", "drain", ANY),
    Route("expired_leases", "reconciler", "rescue", ONCE),
    Route("settle_steps", "reconciler", "rescue", ONCE),
    Route("read_settled", "reconciler", "rescue", ONCE, first="settle_steps.after:raise@{n}"),
    Route("wake", "reconciler", "rescue", ONCE),
    Route("dispatch_steps", "dispatcher", "rescue", {FIRST: 1, IDEMPOTENT: 1, FINAL: 1}),
    Route("publish", "dispatcher", "rescue", {FIRST: 1, IDEMPOTENT: 1, FINAL: 1}),
    Route("republish_steps", "reconciler", "lost", ONCE),
    Route("publish", "reconciler", "lost", ONCE),
    Route("promote_steps", "reconciler", "due", ONCE),
    Route("overdue_runs", "reconciler", "deadline", {IDEMPOTENT: 1, UNSAFE: 1}),
    Route("end_runs", "reconciler", "deadline", {IDEMPOTENT: 1, UNSAFE: 1}),
    Route("count_steps", "reconciler", "idle", ANY),
    Route("prune_dead_letters", "reconciler", "idle", ANY),
    Route("prune_batches", "reconciler", "idle", ANY),
    Route("prune_tombstones", "reconciler", "idle", ANY),
    Route("authenticate", "ingress", "post", ANY),
    Route("save_bundle", "ingress", "post", ANY),
    Route("submit_runs", "ingress", "post", ANY),
    Route("publish", "ingress", "post", ANY),
    Route("read_accepted", "ingress", "post", ANY, first="submit_runs.after:raise@{n}"),
    Route("find_request_keys", "ingress", "repeat", ANY),
    Route("watch_runs", "ingress", "watch", ANY),
    Route("read_runs", "ingress", "watch", ANY),
    Route("read_events", "ingress", "events", ANY),
    Route("end_runs", "ingress", "cancel", {IDEMPOTENT: 1, UNSAFE: 1}),
    Route("replay_dead_letters", "ingress", "replay", {UNSAFE: 1}),
    Route("wake", "ingress", "replay", {UNSAFE: 1}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that breaks, once."""

    route: Route
    step: str
    moment: str
    action: str

    @property
    def spec(self) -> str:
        """The setting of the process that breaks."""
        n = self.route.steps[self.step]
        if self.route.first:
            return f"{self.route.first.format(n=n)},{self.route.point}.{self.moment}:{self.action}"
        return f"{self.route.point}.{self.moment}:{self.action}@{n}"

    def __str__(self) -> str:
        return f"{self.route.process} {self.route.scene} ({self.step}) {self.spec}"


def every_case(*, thorough: bool = False) -> list[Case]:
    """All of them, in the table's order: a kill at every kind of step, before and after; every other action once per
    route, or, ``thorough``, at every kind as well. Fails when a point is on no route.
    """
    lost = POINTS.keys() - {route.point for route in ROUTES} - UNREACHED.keys()
    assert not lost, f"no route leads to {sorted(lost)}: add one to ROUTES, or say in UNREACHED why not"
    return [case for route in ROUTES for case in _cases(route, thorough=thorough)]


def _cases(route: Route, *, thorough: bool) -> Iterator[Case]:
    places = [(step, moment) for step in route.steps for moment in ("before", "after")]
    for nth, (step, moment) in enumerate(places):
        yield Case(route, step, moment, "kill")
        others = _others(route, step)
        # A duty does not know what kind of step it moves: what it survives at one kind it survives at all.
        everywhere = thorough and route.process == "steps"
        for action in others if everywhere else others[nth :: len(places)]:
            yield Case(route, step, moment, action)


def _others(route: Route, step: str) -> list[str]:
    """What can be done there besides killing."""
    point, found = POINTS[route.point], ["pause"]
    if point.error is not None:
        found.append("raise")
    if point.repeatable and (route.point, step) != ("tool", UNSAFE):  # that would be the crime itself
        found.append("dup")
    return found
