"""Dispatch: the backlog enters the window fairly; recall takes back what nobody has claimed."""

from collections import Counter

import pytest

from agentfleet.domain.states import RunState, StepState
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.recall import recall
from tests.factories import POOL, claim, execute, make_run, make_step, make_tool, step_row, submit
from tests.scripted import Bells

pytestmark = pytest.mark.usefixtures("invariants_hold")

BACKLOG = """
WITH made AS (
    INSERT INTO runs (id, tenant_id, agent, bundle_id, pool, state, input, steps_total, open_steps)
    SELECT gen_random_uuid(), %s, 'tester', 'bundle-1', 'default', 'running', '""', 1, 1 FROM generate_series(1, %s)
    RETURNING id, tenant_id
)
INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state, priority, ready_at)
SELECT gen_random_uuid(), id, tenant_id, 'default', 'tester', 0, 'reason', 'm', 1, '{}', 'ready', %s,
       now() + make_interval(secs => row_number() OVER ()) FROM made
"""


def dispatcher(db, bells, window: int) -> Dispatcher:
    return Dispatcher(db, bells, pool=POOL, window=window)


async def owners(db, step_ids) -> Counter[str]:
    return Counter([(await step_row(db, step_id)).tenant_id for step_id in step_ids])


async def test_the_backlog_is_dispatched_and_rung_for_oldest_first(db, bells):
    made = [await make_step(db, StepState.READY) for _ in range(5)]
    assert await dispatcher(db, bells, 3).run_once() == 3
    assert sorted(bells.take()) == sorted(one.step_id for one in made[:3])
    assert [(await step_row(db, one.step_id)).state for one in made] == ["dispatched"] * 3 + ["ready"] * 2


async def test_the_window_bounds_what_is_sent_and_not_yet_claimed(db, bells):
    for _ in range(6):
        await make_step(db, StepState.READY)
    dispatch = dispatcher(db, bells, 4)
    assert [await dispatch.run_once() for _ in range(2)] == [4, 0]
    await claim(db, bells.take()[0])
    assert [await dispatch.run_once() for _ in range(2)] == [1, 0]


async def test_a_tenant_with_a_thousand_steps_does_not_hold_up_one_with_three(db, bells, bundle, database_url):
    execute(database_url, BACKLOG, "loud", 1000, 0)
    execute(database_url, BACKLOG, "quiet", 3, 0)
    assert await dispatcher(db, bells, 20).run_once() == 20
    assert await owners(db, bells.take()) == {"loud": 17, "quiet": 3}


async def test_tenants_take_turns_whatever_their_priorities(db, bells, bundle, database_url):
    execute(database_url, BACKLOG, "shouts", 100, 9)
    execute(database_url, BACKLOG, "calm", 100, 0)
    assert await dispatcher(db, bells, 10).run_once() == 10
    assert await owners(db, bells.take()) == {"shouts": 5, "calm": 5}


async def test_within_a_tenant_higher_priority_goes_first_and_then_the_oldest(db, bells):
    low, high, low_too, highest = [await make_step(db, StepState.READY, priority=priority) for priority in (0, 5, 0, 9)]
    dispatch = dispatcher(db, bells, 1)
    order = []
    for _ in range(4):
        assert await dispatch.run_once() == 1
        [step_id] = bells.take()
        await claim(db, step_id)
        order.append(step_id)
    assert order == [one.step_id for one in (highest, high, low, low_too)]


async def test_other_pools_are_left_alone(db, bells):
    made = await make_step(db, StepState.READY, pool="gpu")
    assert await dispatcher(db, bells, 10).run_once() == 0
    assert await Dispatcher(db, bells, pool="gpu", window=10).run_once() == 1
    assert bells.take() == [made.step_id]


async def test_paused_runs_are_not_dispatched_and_hold_nobody_up(db, bells):
    paused = [await make_run(db, RunState.PAUSED, steps_total=1, open_steps=1) for _ in range(5)]
    for run_id in paused:
        await make_tool(db, state=StepState.READY, run_id=run_id)
    made = await make_step(db, StepState.READY)
    assert await dispatcher(db, bells, 3).run_once() == 1
    assert bells.take() == [made.step_id]


async def test_two_dispatchers_move_each_step_once(db, other_db, bells, bundle, database_url):
    execute(database_url, BACKLOG, "acme", 50, 0)
    other = Bells()
    moved = [await dispatcher(one, bell, 1000).run_once() for one, bell in ((db, bells), (other_db, other))]
    assert sum(moved) == 50
    rung = bells.take() + other.take()
    assert len(set(rung)) == len(rung) == 50


async def test_unclaimed_messages_can_be_recalled(db, bells):
    unclaimed, claimed = await submit(db), await submit(db)
    await claim(db, claimed.step_id)
    assert await recall(db, bells, POOL, [unclaimed.step_id, claimed.step_id]) == 1
    row = await step_row(db, unclaimed.step_id)
    assert (row.state, row.attempt, row.dispatched_at) == ("ready", 0, None)
    assert bells.woken == [POOL]
    assert await recall(db, bells, POOL, []) == 0
