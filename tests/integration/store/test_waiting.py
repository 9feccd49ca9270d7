"""What the store says about runs that wait: the step that explains each, its position, the pace."""

import random
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import func

from agentfleet.domain.states import RunState, StepState
from agentfleet.domain.waiting import Order
from agentfleet.store import steps, waiting
from tests.factories import POOL, execute, make_run, make_step, make_tool

BUCKET = "main/claude-test"


async def foremost(app_db, made, tenant="acme"):
    return (await waiting.foremost(app_db, tenant, [made.run_id])).get(made.run_id)


async def position(app_db, made, tenant="acme") -> int | None:
    found = await foremost(app_db, made, tenant)
    assert found.step_id == made.step_id
    return None if found.order is None else await waiting.position(app_db, found.step_id, found.order)


def ago(seconds: float):
    return func.agentfleet_now() - timedelta(seconds=seconds)


async def test_the_step_that_moves_first_explains_the_run(db, app_db):
    run_id = await make_run(db, steps_total=5, open_steps=5)
    order = (StepState.DEAD, StepState.WAITING, StepState.READY, StepState.DISPATCHED, StepState.RUNNING)
    for seq, state in enumerate(order):
        made = await make_tool(db, "look", state, run_id=run_id, seq=seq, due=60)
        assert (await foremost(app_db, made)).state is state


async def test_of_several_that_wait_the_first_that_is_due_explains(db, app_db):
    run_id = await make_run(db, steps_total=3, open_steps=3)
    for seq, due in enumerate((60, 20, 40)):
        made = await make_tool(db, "look", StepState.WAITING, run_id=run_id, seq=seq, due=due, blocked_on="timer")
    assert (await foremost(app_db, made)).seq == 1


async def test_a_run_that_is_over_and_one_of_another_tenant_have_nothing_to_say(db, app_db):
    over = await make_step(db, StepState.SUCCEEDED, finished_at=func.agentfleet_now())
    theirs = await make_step(db, StepState.READY, tenant="rival")
    assert await foremost(app_db, over) is None
    assert await foremost(app_db, theirs) is None
    assert await foremost(app_db, theirs, "rival") is not None


async def test_it_waits_since_the_first_of_the_snoozes_in_a_row(db, app_db, database_url):
    made = await make_step(db, StepState.WAITING, fence=4, snoozes=2, blocked_on="provider", due=60)
    for fence, outcome, seconds in ((1, "snooze", 400), (2, "retry", 300), (3, "snooze", 200), (4, "snooze", 100)):
        execute(database_url, "INSERT INTO attempts (step_id, fence, attempt, outcome, claimed_at, finished_at)"
                " VALUES (%s, %s, 1, %s, agentfleet_now(), agentfleet_now() - make_interval(secs => %s))",
                made.step_id, fence, outcome, seconds)  # fmt: skip
    found = await foremost(app_db, made)
    assert round((found.now - found.since).total_seconds()) == 200


async def test_messages_are_taken_in_the_order_in_which_they_were_sent(db, app_db):
    made = [await make_step(db, StepState.DISPATCHED, tenant=tenant, dispatched_at=ago(seconds))
            for tenant, seconds in (("acme", 30), ("rival", 40), ("acme", 20), ("rival", 10))]  # fmt: skip
    await make_step(db, StepState.DISPATCHED, pool="gpu", dispatched_at=ago(99))
    found = [await position(app_db, one, tenant) for one, tenant in zip(made, ("acme", "rival") * 2, strict=False)
             if tenant == "acme"]  # fmt: skip
    assert found == [2, 3]


@pytest.mark.parametrize("seed", range(2))
async def test_positions_in_the_queue_are_near_the_order_of_the_dispatcher(db, app_db, seed):
    draw = random.Random(seed)  # a test's own dice
    ages = (ago(seconds) for seconds in draw.sample(range(1, 1_000), 60))
    waits = {}
    for _ in range(40):
        tenant = draw.choice(["acme", "acme", "rival", "third"])
        made = await make_step(db, StepState.READY, tenant=tenant, priority=draw.choice([0, 0, 5]), ready_at=next(ages))
        waits[made.step_id] = made, tenant
    tenants = Counter(tenant for _, tenant in waits.values())
    told = {step_id: await position(app_db, made, tenant) for step_id, (made, tenant) in waits.items()}
    served: dict[str, int] = {}
    order = count(1)
    for window in range(1, len(waits) + 1):  # they stay dispatched: each round has room for one more
        [bell] = await steps.dispatch(db, POOL, window=window)
        served[bell.step_id] = next(order)
    own = {step_id: sorted(served[other] for other, (_, t) in waits.items() if t == tenant).index(served[step_id])
           for step_id, (_, tenant) in waits.items()}  # fmt: skip
    for step_id, (_, tenant) in waits.items():
        others = sum(min(own[step_id], held) for other, held in tenants.items() if other != tenant)
        assert told[step_id] == 1 + own[step_id] + others


async def test_alone_in_the_queue_positions_are_the_order(db, app_db):
    made = [await make_step(db, StepState.READY, priority=priority, ready_at=ago(seconds))
            for priority, seconds in ((0, 10), (0, 30), (5, 5), (5, 20), (-1, 99))]  # fmt: skip
    assert [await position(app_db, one) for one in made] == [4, 3, 2, 1, 5]


async def test_at_the_provider_a_tenant_of_double_weight_has_double_turns_before_others(db, app_db, database_url):
    for tenant, weight in (("acme", 1), ("heavy", 2), ("light", 0.5)):
        execute(database_url, "INSERT INTO tenants (id, weight) VALUES (%s, %s)", tenant, weight)
    values = {"bucket": BUCKET, "blocked_on": "provider", "due": 60}
    for tenant in ("heavy", "light"):
        for _ in range(10):
            await make_step(db, StepState.WAITING, tenant=tenant, **values)
    mine = [await make_step(db, StepState.WAITING, ready_at=ago(100 - n), **values) for n in range(5)]
    await make_step(db, StepState.WAITING, bucket="main/other", blocked_on="provider", ready_at=ago(200), due=60)
    assert [await position(app_db, one) for one in mine] == [1 + ahead + 2 * ahead + ahead // 2 for ahead in range(5)]


async def test_counting_ends_where_nobody_wants_to_know_it_better(db, app_db, monkeypatch):
    monkeypatch.setattr(waiting, "MOST", 3)
    for _ in range(5):
        await make_step(db, StepState.READY, ready_at=ago(50))
    made = await make_step(db, StepState.READY)
    assert await position(app_db, made) == 3


async def test_what_has_no_order_has_no_position(db, app_db):
    made = await make_step(db, StepState.WAITING, blocked_on="timer", due=60)
    assert (await foremost(app_db, made)).order is None


async def test_a_step_that_has_moved_on_has_no_position_any_more(db, app_db):
    made = await make_step(db, StepState.RUNNING)
    assert [await waiting.position(app_db, made.step_id, order) for order in Order] == [None] * 3


async def test_the_pace_is_what_the_pool_claimed_of_late(db, app_db, database_url):
    assert await waiting.pace(app_db, POOL) == waiting.Pace(None, None)
    for seconds in range(10, 0, -1):
        made = await make_step(db, StepState.SUCCEEDED, tenant="rival", finished_at=func.agentfleet_now())
        execute(database_url, "INSERT INTO attempts (step_id, fence, attempt, outcome, claimed_at, finished_at) VALUES"
                " (%s, 1, 1, 'succeed', agentfleet_now() - make_interval(secs => %s), agentfleet_now())",
                made.step_id, seconds)  # fmt: skip
    assert (await waiting.pace(app_db, POOL)).claims == pytest.approx(1.0, rel=0.3)
    assert (await waiting.pace(app_db, "gpu")).claims is None


async def test_batches_take_as_long_as_they_took(db, app_db, database_url):
    for n, seconds in enumerate((10, 20, 600)):
        execute(database_url, "INSERT INTO batches (id, account, requests, state, created_at, ended_at) VALUES"
                " (%s, 'main', 1, 'ended', agentfleet_now() - make_interval(secs => %s), agentfleet_now())",
                f"00000000-0000-7000-8000-00000000000{n}", seconds)  # fmt: skip
    assert (await waiting.pace(app_db, POOL)).batch == pytest.approx(20, abs=1)


async def test_durations_are_those_of_the_own_runs_that_succeeded(db, app_db):
    for tenant, state, seconds in (
        ("acme", RunState.SUCCEEDED, 5),
        ("acme", RunState.FAILED, 7),
        ("rival", RunState.SUCCEEDED, 9),
    ):
        await make_run(db, state, tenant=tenant, started_at=ago(seconds), finished_at=func.agentfleet_now())
    assert await waiting.durations(app_db, "acme") == {"tester": [pytest.approx(5)]}
