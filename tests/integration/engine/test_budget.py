"""Budgets: the worst case of a step is reserved before it calls anything, everywhere that it spends from."""

import asyncio
import json
from functools import partial

import pytest

from agentfleet.domain.budget import Budget
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.promote import Promoter
from agentfleet.store import budgets
from tests.factories import POOL, TENANT, execute, submit, tally
from tests.scripted import USAGE, Script, Tools, Worker, answer, ask_for, price

pytestmark = pytest.mark.usefixtures("invariants_hold")

TURNS = [ask_for("look", "book", "pay"), ask_for("look"), answer("all done")]
"""7 steps, 4 of them tool calls, 3 model calls."""
DAY = "SELECT used_steps, used_tool_calls, used_tokens, used_cost_usd, held_steps, held_cost_usd FROM budgets WHERE run_id IS NULL"


def cap_day(url, **ceilings):
    execute(
        url,
        "INSERT INTO tenants (id, daily_budget) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET daily_budget = excluded.daily_budget",
        TENANT,
        json.dumps(ceilings),
    )


async def raise_budget(db, run_id, **ceilings):
    assert await budgets.change(db, TENANT, run_id, Budget(**ceilings), version=None)


@pytest.fixture
def go_on(db, bells):
    """Promote and dispatch what is due."""

    async def tick():
        await Promoter(db, bells).run_once()
        await Dispatcher(db, bells, pool=POOL, window=1000).run_once()

    return tick


@pytest.mark.parametrize(
    ("budget", "ceiling", "done"),
    [
        (Budget(max_steps=3), "max_steps", 3),
        (Budget(max_tool_calls=2), "max_tool_calls", 3),
        (Budget(max_cost_usd=2 * USAGE.cost_usd), "max_cost_usd", 6),
        (Budget(max_tokens=1_100), "max_tokens", 4),
    ],
)
async def test_a_run_at_its_ceiling_waits_and_says_which(db, bells, go_on, budget, ceiling, done):
    accepted = await submit(db, window=0)
    worker = Worker(db, bells, Script(TURNS), Tools(budget=budget))
    await go_on()
    await worker.work()

    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.run.blocked_on) == ("waiting", "budget")
    assert found.states.count("succeeded") == done
    waiting = [step for step in found.steps if step.state == "waiting"]
    assert all(json.loads(step.error)["detail"]["ceiling"] == ceiling for step in waiting)
    assert {step.attempt for step in waiting} == {0}, "waiting for a budget costs no attempt"
    assert found.dead_letters == []

    await go_on()
    assert await worker.work() == 0, "nobody looks again before it is raised"
    await raise_budget(db, accepted.run_id)
    await go_on()
    await worker.work()
    found = await tally(db, accepted.run_id)
    assert (found.run.state, len(found.steps)) == ("succeeded", 7)
    assert "run.budget_changed" in [event.type for event in found.events]


async def test_two_hundred_runs_on_one_cap_never_exceed_it(db, other_db, bells, go_on, database_url):
    """Every model call may cost ten times what it does: much is held, little is used, and both are bounded together."""
    cap = 100 * USAGE.cost_usd
    cap_day(database_url, max_cost_usd=str(cap))
    accepted = [await submit(db) for _ in range(200)]
    dear = partial(price, times=10)
    workers = [
        Worker(one, bells, Script(TURNS), name=f"worker:{n}", price=dear) for n, one in enumerate((db, other_db))
    ]
    seen = []

    async def watched(worker, step_id):
        await worker.execute(step_id)
        seen.append(execute(database_url, DAY)[0])

    ids = [one.step_id for one in accepted]
    while ids:
        await asyncio.gather(*(watched(workers[n % 2], step_id) for n, step_id in enumerate(ids)))
        await go_on()
        ids = bells.take()
        execute(
            database_url,
            "UPDATE steps SET not_before = agentfleet_now() WHERE state = 'waiting' AND not_before < now() + interval '1 minute'",
        )
    assert all(used + held <= cap for *_, used, _, held in seen)
    [(used,)] = execute(database_url, "SELECT sum(cost_usd) FROM runs")
    assert cap - 10 * USAGE.cost_usd < used <= cap
    assert execute(database_url, "SELECT count(*) FROM attempts WHERE outcome = 'retry'") == [(0,)]
    states = dict(execute(database_url, "SELECT coalesce(blocked_on, state), count(*) FROM runs GROUP BY 1"))
    assert set(states) <= {"succeeded", "budget"}
    assert states["budget"] > 100
