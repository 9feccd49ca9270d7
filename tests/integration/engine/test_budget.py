"""Budgets: the worst case of a step is reserved before it calls anything, everywhere that it spends from."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from random import Random

import psycopg
import pytest

from agentfleet.agents.context import ToolContext
from agentfleet.domain.budget import Amount, Budget, Left, Usage
from agentfleet.domain.errors import BudgetExceeded, LeaseExpired, LeaseLost, ProviderUnavailable
from agentfleet.engine.budget import Reserver
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.ports import ToolResult
from agentfleet.store import budgets, tenants
from agentfleet.store.budgets import Ask
from agentfleet.telemetry import metrics
from tests.factories import BUNDLE, LEASE, TENANT, claim, execute, submit, tally
from tests.integration.engine.caps import TURNS, cap_day, child_of, raise_budget, row
from tests.integration.engine.outcomes import failed, finished, settle
from tests.invariants import check
from tests.scripted import USAGE, Script, Tools, Worker, answer, ask_for, price

pytestmark = pytest.mark.usefixtures("invariants_hold")


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


async def test_a_run_says_that_it_waits_for_its_budget_when_the_last_of_its_steps_has_ended(db, bells):
    """The call that waits was refused first; then the one that works ends."""
    accepted = await submit(db)
    worker = Worker(db, bells, Script(TURNS), Tools(budget=Budget(max_tool_calls=2)))
    await worker.execute(accepted.step_id)
    for step_id in reversed(bells.take()):
        await worker.execute(step_id)
    assert (await tally(db, accepted.run_id)).run.blocked_on == "budget"


async def test_two_hundred_runs_on_one_cap_never_exceed_it(db, other_db, bells, go_on, database_url):
    """Every model call may cost ten times what it does: much is held, little is used, and both are bounded together."""
    cap = 100 * USAGE.cost_usd
    cap_day(database_url, max_cost_usd=str(cap))
    accepted = [await submit(db) for _ in range(200)]
    dear = partial(price, times=10)
    workers = [
        Worker(one, bells, Script(TURNS), name=f"worker:{n}", price=dear) for n, one in enumerate((db, other_db))
    ]
    most = []
    with psycopg.connect(database_url, autocommit=True) as onlooker:

        async def watched(worker, step_id):
            await worker.execute(step_id)
            most.append(onlooker.execute("SELECT used_cost_usd + held_cost_usd FROM budgets").fetchone()[0])

        ids = [one.step_id for one in accepted]
        while ids:
            await asyncio.gather(*(watched(workers[n % 2], step_id) for n, step_id in enumerate(ids)))
            await go_on()
            ids = bells.take()
            onlooker.execute(
                "UPDATE steps SET not_before = agentfleet_now()"
                " WHERE state = 'waiting' AND not_before < now() + interval '1 minute'"
            )
    assert max(most) <= cap
    [(used,)] = execute(database_url, "SELECT sum(cost_usd) FROM runs")
    assert cap - 10 * USAGE.cost_usd < used <= cap
    assert execute(database_url, "SELECT count(*) FROM attempts WHERE outcome = 'retry'") == [(0,)]
    states = dict(execute(database_url, "SELECT coalesce(blocked_on, state), count(*) FROM runs GROUP BY 1"))
    assert set(states) <= {"succeeded", "budget"}
    assert states["budget"] > 100


@pytest.mark.parametrize("rescue", [False, True])
async def test_an_attempt_that_fails_holds_nothing_any_more(db, bells, database_url, clock, rescue):
    cap_day(database_url, max_cost_usd="1")
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    await Reserver(db, price).model_call(claimed, BUNDLE, Budget(), 1024, lambda: None)
    assert row(database_url)[4:] == (1, USAGE.cost_usd)
    if rescue:
        clock.advance(LEASE + 1)
        done = failed(claimed, LeaseExpired("died"), rescue=True)
    else:
        done = replace(failed(claimed, ProviderUnavailable("later")), usage=USAGE)
    assert await settle(db, done) == [True]
    assert row(database_url) == ((0, 0, 0, 0, 0, 0) if rescue else (0, 0, 130, USAGE.cost_usd, 0, 0))


async def test_a_reservation_whose_answer_was_lost_is_made_once(db, database_url):
    cap_day(database_url, max_cost_usd=str(USAGE.cost_usd))
    claimed = await claim(db, (await submit(db)).step_id)
    for _ in range(2):
        await Reserver(db, price).model_call(claimed, BUNDLE, Budget(), 1024, lambda: None)
        assert row(database_url)[4:] == (1, USAGE.cost_usd)


async def test_nothing_is_held_for_a_step_that_was_taken_away(db, bells, database_url):
    cap_day(database_url, max_cost_usd="1")
    claimed = await claim(db, (await submit(db)).step_id)
    await Canceller(db, bells).cancel(claimed.run_id)
    with pytest.raises(LeaseLost):
        await Reserver(db, price).model_call(claimed, BUNDLE, Budget(), 1024, lambda: None)


async def test_a_tenants_day_is_over_at_midnight_in_utc(db, bells, go_on, database_url, clock):
    cap_day(database_url, max_cost_usd=str(USAGE.cost_usd))
    accepted = [await submit(db) for _ in range(2)]
    worker = Worker(db, bells, Script([answer()]))
    for one in accepted:
        await worker.execute(one.step_id)
    [(due, midnight)] = execute(
        database_url,
        "SELECT max(not_before), (date_trunc('day', agentfleet_now() AT TIME ZONE 'UTC') + interval '1 day')"
        " AT TIME ZONE 'UTC' FROM steps",
    )
    assert timedelta(0) <= due - midnight < timedelta(seconds=30)
    clock.advance(86_400)
    await go_on()
    await worker.work()
    assert execute(database_url, "SELECT DISTINCT state FROM runs") == [("succeeded",)]
    assert execute(database_url, "SELECT count(*) FROM budgets") == [(2,)]


async def test_what_is_only_held_is_waited_for_a_moment(db, database_url):
    cap_day(database_url, max_cost_usd=str(USAGE.cost_usd))
    first, second = [await claim(db, (await submit(db)).step_id) for _ in range(2)]
    reserve = Reserver(db, price)
    await reserve.model_call(first, BUNDLE, Budget(), 1024, lambda: None)
    with pytest.raises(BudgetExceeded) as refused:
        await reserve.model_call(second, BUNDLE, Budget(), 1024, lambda: None)
    assert refused.value.retry_after == 0
    assert failed(second, refused.value).delay < 30


async def test_a_big_step_that_does_not_fit_keeps_no_small_one_out(db, database_url):
    """They ask together, the big ones first."""
    cap_day(database_url, max_tokens=100)
    claimed = [await claim(db, (await submit(db)).step_id) for _ in range(12)]
    await budgets.open_day(db, [TENANT])
    sizes = [60, 60, 101, 500, *[5] * 8]
    asks = [Ask(one.step_id, TENANT, one.fence, Amount(1, 0, size)) for one, size in zip(claimed, sizes, strict=True)]
    answers = await budgets.reserve(db, asks)
    found = [answers[ask.step_id].outcome for ask in asks]
    assert found == ["held", "again", "full", "full", *["again"] * 8]
    answers = await budgets.reserve(db, asks[4:])
    assert {one.outcome for one in answers.values()} == {"held"}


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_reserved_and_settled_in_whatever_order_no_cap_is_broken(db, database_url, seed):
    """A day, a parent, its children: each with ceilings of its own, and every step costs at most what it reserved."""
    chance = Random(seed)  # no secret
    cap_day(database_url, max_tokens=4_000, max_cost_usd="2", max_steps=60)
    parent = await submit(db)
    family = [parent, *[await child_of(db, parent, Budget(max_tokens=2_500, max_cost_usd=1)) for _ in range(3)]]
    await budgets.open_day(db, [TENANT])
    running, outcomes = {}, set()
    for _ in range(40):
        ready = [await submit(db, parent_run_id=chance.choice(family).run_id) for _ in range(chance.randrange(5))]
        claimed = [await claim(db, one.step_id) for one in ready]
        needs = [Amount(1, 0, chance.randrange(600), Decimal(chance.randrange(300)) / 1000) for _ in claimed]
        asks = [Ask(one.step_id, TENANT, one.fence, need) for one, need in zip(claimed, needs, strict=True)]
        answers = await budgets.reserve(db, asks) if asks else {}
        outcomes |= {answer.outcome for answer in answers.values()}
        running |= {
            one.step_id: (one, need)
            for one, need in zip(claimed, needs, strict=True)
            if answers[one.step_id].outcome == "held"
        }
        for step_id in chance.sample(sorted(running), min(len(running), chance.randrange(4))):
            one, need = running.pop(step_id)
            used = Usage(input_tokens=chance.randint(0, need.tokens), cost_usd=need.cost_usd * chance.choice([0, 1]))
            done = finished(one) if chance.random() < 0.7 else failed(one, ProviderUnavailable("later"))
            await settle(db, replace(done, usage=used))
        check(database_url)
    assert outcomes == {"held", "busy", "full", "again"} or outcomes >= {"held", "full"}


async def test_somebody_hears_of_four_fifths_once(db, bells, database_url):
    cap_day(database_url, max_cost_usd=str(5 * USAGE.cost_usd))
    worker = Worker(db, bells, Script([answer()]), Tools(budget=Budget(max_cost_usd=Decimal("0.0151"))))
    before = [metrics.BUDGET_ALERTS.labels(scope)._value.get() for scope in ("run", "tenant_day")]
    for n in range(5):
        accepted = await submit(db)
        await worker.execute(accepted.step_id)
        assert execute(database_url, "SELECT kind, seen FROM alerts") == ([("budget_80", 1)] if n >= 3 else [])
    await tenants.change(db, TENANT, Budget(max_steps=None, max_cost_usd=1), Decimal(1))
    assert execute(database_url, "SELECT resolved_at IS NOT NULL FROM alerts") == [(True,)], "it was raised"
    assert [e.type for e in (await tally(db, accepted.run_id)).events][-2:] == ["run.budget_alert", "run.succeeded"]
    after = [metrics.BUDGET_ALERTS.labels(scope)._value.get() for scope in ("run", "tenant_day")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [5, 1]


async def test_a_tool_knows_what_is_left(db, bells, database_url):
    cap_day(database_url, max_cost_usd="0.5", max_tool_calls=3)
    left = []

    async def look(claimed):
        left.append(ToolContext.of(claimed, "call").budget_left)
        return ToolResult("ok")

    worker = Worker(db, bells, Script([ask_for("look"), answer()]), Tools(look, Budget(max_steps=9, max_tool_calls=5)))
    await worker.execute((await submit(db)).step_id)
    await worker.work()
    assert left == [Left(steps=7, tool_calls=2, cost_usd=Decimal("0.5") - USAGE.cost_usd)]


async def test_a_model_without_price_counts_as_free(db, bells):
    worker = Worker(db, bells, Script([answer()]), Tools(budget=Budget(max_cost_usd=1e-6)), price=lambda *_, **__: None)
    accepted = await submit(db)
    await worker.execute(accepted.step_id)
    assert (await tally(db, accepted.run_id)).run.state == "succeeded"
