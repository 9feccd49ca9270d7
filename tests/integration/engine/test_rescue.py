"""Rescue: the steps of a worker that went silent are taken back, once, and never while it still renews."""

import json
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from agentfleet.domain.errors import LeaseExpired
from agentfleet.domain.model import StepKind
from agentfleet.domain.retry import APART, FARTHEST, RetryPolicy
from agentfleet.domain.retry import POISON_AFTER as LIMITS
from agentfleet.domain.states import StepState
from agentfleet.engine.rescue import GRACE, Rescuer
from agentfleet.engine.settle import Settler
from agentfleet.store import steps
from agentfleet.telemetry import metrics
from tests.factories import POOL, claim, execute, make_step, make_tool, step_row, submit, tally
from tests.integration.engine.outcomes import failed, finished, hold_again, settle
from tests.scripted import Script, Worker, answer

pytestmark = pytest.mark.usefixtures("invariants_hold")

POISON_AFTER = LIMITS[StepKind.TOOL]
REDISPATCH = "UPDATE steps SET state = 'dispatched', dispatched_at = now() WHERE state = 'ready'"


@pytest.fixture
def rescuer(db, bells) -> Rescuer:
    return Rescuer(db, Settler(db, bells, window=1000), bells, RetryPolicy(), pool=POOL, lease=30, heartbeat=0, poll=0)


def failures(cause: str) -> float:
    """Runs that failed for this cause, as counted so far."""
    [family] = metrics.RUN_FAILURES.collect()
    return sum(sample.value for sample in family.samples if sample.labels["cause"] == cause)


async def test_a_step_is_rescued_when_its_lease_has_ended_and_not_before(db, bells, rescuer, clock):
    accepted = await submit(db)
    await claim(db, accepted.step_id, lease=600)
    assert await rescuer.run_once() == 0
    clock.advance(601)
    assert await rescuer.run_once() == 1

    row = await step_row(db, accepted.step_id)
    assert (row.state, row.attempt, row.crashes, row.worker) == ("ready", 0, 1, None)
    assert bells.woken == [POOL]
    [attempt] = (await tally(db, accepted.run_id)).attempts
    assert (attempt.outcome, attempt.verdict, attempt.worker) == ("hand_back", "crashed", "test:1")
    assert await rescuer.run_once() == 0


async def test_a_worker_that_has_just_renewed_keeps_its_step(db):
    """Between the look at expired leases and the settle, the worker has renewed."""
    made = await make_tool(db, lease=-1)
    seen = await hold_again(db, made.step_id)
    assert [one.step_id for one in await steps.expired(db, limit=10, lease=30)] == [made.step_id]
    assert await steps.renew(db, {made.step_id: made.fence}, lease=30) == {made.step_id: True}
    assert await settle(db, failed(seen, LeaseExpired("gone"), rescue=True)) == [False]
    assert (await step_row(db, made.step_id)).state == "running"


async def test_a_step_that_crashes_three_workers_is_poison(db, rescuer, clock, database_url):
    made = await make_tool(db, state=StepState.DISPATCHED)
    claimed = []
    for crash in range(1, POISON_AFTER + 1):
        [one] = await steps.claim(db, [made.step_id], worker=f"host:{crash}", lease=600)
        claimed.append((await step_row(db, one.step_id)).claimed_at)
        clock.advance(601)
        assert await rescuer.run_once() == 1
        assert (await step_row(db, made.step_id)).crashes == crash
        execute(database_url, REDISPATCH)
    found = await tally(db, made.run_id)
    assert (found.run.state, found.states) == ("needs_review", ["dead"])
    [letter] = found.dead_letters
    assert letter.verdict == "poison"

    deaths = json.loads(letter.error)["detail"]["deaths"]
    assert [(death["worker"], death["fence"], death["attempt"]) for death in deaths] == [
        ("host:1", 1, 1),
        ("host:2", 2, 1),
        ("host:3", 3, 1),
    ]
    assert [datetime.fromisoformat(death["claimed_at"]) for death in deaths] == claimed
    assert [datetime.fromisoformat(death["rescued_at"]) for death in deaths[:-1]] == [
        attempt.finished_at for attempt in found.attempts[:-1]
    ]


async def test_a_model_call_is_not_poison_when_three_machines_die(db, rescuer):
    made = await make_step(db, lease=-1, crashes=POISON_AFTER)
    assert await rescuer.run_once() == 1
    row = await step_row(db, made.step_id)
    assert (row.state, row.crashes) == ("ready", POISON_AFTER + 1)


async def test_of_all_that_died_with_a_worker_only_the_last_claimed_suspect_is_buried(db, rescuer):
    suspects = [await make_tool(db, lease=-1, crashes=POISON_AFTER - 1) for _ in range(3)]
    newcomer = await make_tool(db, lease=-1, crashes=POISON_AFTER - 2)
    innocent = await make_tool(db, lease=-1)
    elsewhere = await make_tool(db, lease=-1, crashes=POISON_AFTER - 1, worker="another:2")
    assert await rescuer.run_once() == 6
    rows = [await step_row(db, one.step_id) for one in (*suspects, newcomer, innocent, elsewhere)]
    assert [row.state for row in rows] == ["waiting", "waiting", "dead", "waiting", "ready", "dead"]
    assert [row.crashes for row in rows] == [POISON_AFTER] * 3 + [POISON_AFTER - 1, 1, POISON_AFTER]


async def test_who_had_renewed_before_its_worker_died_is_not_buried_for_others(db, rescuer, database_url):
    made = [await make_tool(db, lease=-1, crashes=POISON_AFTER - 1) for _ in range(2)]
    execute(database_url, "UPDATE steps SET claimed_at = now() - interval '1 minute' - seq * interval '1 s'")
    assert await rescuer.run_once() == 2
    assert [(await step_row(db, one.step_id)).state for one in made] == ["waiting"] * 2


async def test_suspects_that_were_claimed_at_once_are_not_buried_but_tried_apart(db, rescuer, database_url):
    made = [await make_tool(db, lease=-1, crashes=POISON_AFTER) for _ in range(FARTHEST + 3)]
    execute(database_url, "UPDATE steps SET claimed_at = now() - interval '10 s', lease_until = now()")
    assert await rescuer.run_once() == len(made)
    rows = [await step_row(db, one.step_id) for one in made]
    assert {row.state for row in rows} == {"waiting"}
    due = sorted({row.not_before for row in rows})
    assert len(due) == FARTHEST + 1
    assert min(later - sooner for sooner, later in pairwise(due)) >= timedelta(seconds=APART)


async def test_a_suspect_is_not_buried_before_the_lease_of_a_likelier_one_is_over(db, rescuer, clock):
    old = await make_tool(db, lease=-1, crashes=POISON_AFTER - 1)
    young = await make_tool(db, lease=5, crashes=POISON_AFTER - 1)
    assert await rescuer.run_once() == 1
    clock.advance(10)
    assert await rescuer.run_once() == 1
    assert [(await step_row(db, one.step_id)).state for one in (old, young)] == ["waiting", "dead"]


async def test_after_a_time_without_a_look_workers_get_a_heartbeat_to_come_back(db, bells):
    """The database was away for longer than a lease: nobody could renew, and nobody has died."""
    now = [100.0]
    settler = Settler(db, bells, window=1000)
    rescuer = Rescuer(
        db, settler, bells, RetryPolicy(), pool=POOL, lease=30, heartbeat=10, poll=1, clock=lambda: now[0]
    )
    back, dead = await make_tool(db, lease=-1), await make_tool(db, lease=-1)
    assert await rescuer.run_once() == 0
    now[0] += 5
    assert await rescuer.run_once() == 0
    assert await steps.renew(db, {back.step_id: back.fence}, lease=30) == {back.step_id: True}
    for _ in range(2):
        now[0] += 0.5 * GRACE * 10
        rescued = await rescuer.run_once()
    assert rescued == 1
    assert [(await step_row(db, one.step_id)).state for one in (back, dead)] == ["running", "ready"]


async def test_looks_that_are_rarer_than_heartbeats_rescue_all_the_same(db, bells):
    now = [0.0]
    settler = Settler(db, bells, window=1000)
    rescuer = Rescuer(db, settler, bells, RetryPolicy(), pool=POOL, lease=4, heartbeat=1, poll=5, clock=lambda: now[0])
    await make_tool(db, lease=-1)
    assert await rescuer.run_once() == 0
    now[0] += 5.1
    assert await rescuer.run_once() == 1


async def test_an_interrupted_unsafe_tool_is_shown_to_a_human_and_never_executed_again(
    db, bells, rescuer, database_url
):
    made = await make_tool(db, "pay", lease=-1)
    ours = failures("infra")
    assert await rescuer.run_once() == 1
    assert failures("infra") == ours + 1
    found = await tally(db, made.run_id)
    assert (found.run.state, found.states) == ("needs_review", ["dead"])
    assert [letter.verdict for letter in found.dead_letters] == ["unknown_effect"]

    execute(database_url, REDISPATCH)
    worker = Worker(db, bells, Script([answer()]))
    assert await worker.execute(made.step_id) is None
    assert worker.tools.calls == []


async def test_safe_tools_are_executed_again(db, bells, rescuer, database_url):
    made = [await make_tool(db, name, lease=-1) for name in ("look", "book")]
    assert await rescuer.run_once() == 2
    execute(database_url, REDISPATCH)
    worker = Worker(db, bells, Script([answer()]))
    assert [await worker.execute(one.step_id) for one in made] == ["succeed", "succeed"]


async def test_a_result_that_comes_after_the_rescue_is_dropped(db, rescuer):
    made = await make_step(db, lease=-1)
    late = await hold_again(db, made.step_id)
    await rescuer.run_once()
    assert await settle(db, finished(late)) == [False]
    assert (await tally(db, made.run_id)).run.state == "running"


async def test_a_worker_that_settles_after_its_lease_but_before_the_rescue_is_heard(db, rescuer):
    made = await make_step(db, lease=-1)
    assert await settle(db, finished(await hold_again(db, made.step_id))) == [True]
    assert await rescuer.run_once() == 0


async def test_two_rescuers_take_each_step_once(db, other_db, bells, rescuer):
    made = [await make_tool(db, lease=-1) for _ in range(20)]
    other = Rescuer(
        other_db, Settler(other_db, bells, window=1000), bells, RetryPolicy(), pool=POOL, lease=30, heartbeat=0, poll=0
    )
    expired = await steps.expired(db, limit=100, lease=30)
    taken = [await one._rescue(step) for one in (rescuer, other) for step in expired]
    assert sum(taken) == len(made)
    assert {(await step_row(db, one.step_id)).crashes for one in made} == {1}


async def test_only_running_steps_are_rescued(db, rescuer):
    for state in (StepState.READY, StepState.DISPATCHED, StepState.WAITING):
        await make_step(db, state)
    assert await rescuer.run_once() == 0
