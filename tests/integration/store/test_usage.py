"""The waste ledger over real rows: each dollar under one cause, and never more than was spent."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from agentfleet.domain.model import Bundle
from agentfleet.domain.states import RunState, StepState
from agentfleet.domain.waste import By, Cause, Saving
from agentfleet.engine.usage import report
from agentfleet.provider.prices import cost
from agentfleet.store import usage
from tests.factories import AGENT, BUNDLE, execute, make_run, make_step, save_bundle

DAY = 86_400.0
SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-4-5"
NOW = datetime.now(UTC)


def used(fresh=0, output=0, read=0, write=0, hour=0) -> dict:
    return {"input_tokens": fresh, "output_tokens": output, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write, "cache_creation": {"ephemeral_1h_input_tokens": hour}}  # fmt: skip


@dataclass
class Books:
    """Runs with calls as they would have been settled."""

    db: object

    async def run(self, state=RunState.SUCCEEDED, **columns) -> str:
        return await make_run(self.db, state, **columns)

    async def call(self, run_id, *attempts, model=SONNET, seq=0, tenant="acme", **columns) -> str:
        """A reason step and its attempts: ``(outcome, verdict, usage, seconds ago)``."""
        made = await make_step(self.db, columns.pop("state", StepState.SUCCEEDED), run_id=run_id, seq=seq, name=model,
                               tenant=tenant, fence=len(attempts), **columns)  # fmt: skip
        for fence, (outcome, verdict, spent, ago) in enumerate(attempts, 1):
            execute(self.db.config.url, "INSERT INTO attempts (step_id, fence, attempt, outcome, verdict, error, claimed_at, finished_at,"
                    " usage, cost_usd) VALUES (%s, %s, 1, %s, %s, %s, agentfleet_now() - make_interval(secs => %s),"
                    " agentfleet_now() - make_interval(secs => %s), %s, %s)", made.step_id, fence, outcome, verdict,
                    None if outcome == "succeed" else '{"class": "step_timeout"}' if verdict == "backoff" else "{}", ago, ago - 1,
                    None if spent is None else json.dumps(spent),
                    Decimal(0) if spent is None else cost(spent, model, date.max))  # fmt: skip
        return made.step_id

    async def line(self, by=By.AGENT, key=AGENT, tenant="acme"):
        found = await report(self.db, since=DAY, by=by, price=cost, tenant_id=tenant)
        return next(line for line in found.lines if line.key == key)


@pytest.fixture
def books(db) -> Books:
    return Books(db)


OK = ("succeed", None)


async def test_what_was_spent_is_the_sum_of_its_calls(books):
    run_id = await books.run()
    for seq in range(3):
        await books.call(run_id, (*OK, used(100, 50, 10, 0), 10), seq=seq)
    line = await books.line()
    assert (line.calls, line.input_tokens, line.output_tokens, line.cache_read_tokens) == (3, 300, 150, 30)
    assert line.cost_usd == 3 * cost(used(100, 50, 10), SONNET, date.max)
    assert (line.wasted, line.estimated_usd) == ({}, 0)


async def test_a_crashed_call_is_estimated_by_the_one_that_was_made_instead(books):
    await books.call(await books.run(), ("hand_back", "crashed", None, 20), (*OK, used(1_000, 500), 10))
    lost = (await books.line()).wasted
    assert set(lost) == {Cause.CRASHED}
    assert (lost[Cause.CRASHED].calls, lost[Cause.CRASHED].tokens) == (1, 1_000)
    assert lost[Cause.CRASHED].cost_usd == pytest.approx(cost(used(1_000), SONNET, date.max))


@pytest.mark.parametrize(("reserved", "tokens"), [(700, 700), (None, 900)])
async def test_a_crashed_call_that_was_never_repeated_is_estimated_by_what_is_known(books, reserved, tokens):
    run_id = await books.run(RunState.RUNNING, prompt_tokens=900)
    await books.call(run_id, ("hand_back", "crashed", None, 20), state=StepState.READY, input_estimate=reserved)
    lost = (await books.line()).wasted[Cause.CRASHED]
    assert (lost.tokens, lost.cost_usd) == (tokens, cost(used(tokens), SONNET, date.max))


async def test_a_half_stream_costs_what_it_cost(books):
    await books.call(await books.run(), ("retry", "backoff", used(2_000, 1), 20), (*OK, used(2_000, 300), 10))
    line = await books.line()
    assert line.wasted[Cause.HALF_STREAM].cost_usd == cost(used(2_000, 1), SONNET, date.max)
    assert line.cost_usd == cost(used(2_000, 1), SONNET, date.max) + cost(used(2_000, 300), SONNET, date.max)
    assert line.estimated_usd == 0


@pytest.mark.parametrize("verdict", ["interrupted", "backoff"])
async def test_a_call_that_we_cut_off_and_made_again_was_repeated(books, verdict):
    await books.call(await books.run(), ("hand_back", verdict, None, 20), (*OK, used(1_000, 500), 10))
    assert {cause: lost.tokens for cause, lost in (await books.line()).wasted.items()} == {Cause.REPEATED: 1_000}


async def test_a_call_that_waited_for_the_provider_lost_nothing(books):
    await books.call(await books.run(), ("snooze", "retry_at", None, 20), (*OK, used(1_000, 500), 10))
    assert (await books.line()).wasted == {}


async def test_an_answer_that_nobody_waited_for_was_dropped(books):
    run_id = await books.run(RunState.CANCELLED, prompt_tokens=400)
    await books.call(run_id, ("cancel", None, None, 20), state=StepState.CANCELLED)
    assert {cause: lost.tokens for cause, lost in (await books.line()).wasted.items()} == {Cause.DROPPED: 400}


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.EXPIRED, RunState.FAILED])
async def test_a_run_that_came_to_nothing_wasted_what_it_had_spent(books, state):
    run_id = await books.run(state)
    await books.call(run_id, (*OK, used(0, 10, 0, 5_000), 20))
    await books.call(run_id, (*OK, used(5_000, 10), 10), seq=1)  # a cache miss, too: it counts once
    line = await books.line()
    assert set(line.wasted) == {Cause.ENDED_RUN}
    assert line.wasted[Cause.ENDED_RUN].cost_usd == line.cost_usd


async def test_what_should_have_been_read_from_the_cache_and_was_not_is_a_miss(books):
    run_id = await books.run()
    await books.call(run_id, (*OK, used(100, 10, 0, 5_000), 60))
    await books.call(run_id, (*OK, used(300, 10, 1_000, 4_000), 30), seq=1)
    lost = (await books.line()).wasted
    assert {cause: found.tokens for cause, found in lost.items()} == {Cause.CACHE_MISS: 4_000}
    extra = cost(used(300, 10, 1_000, 4_000), SONNET, date.max) - cost(used(300, 10, 5_000), SONNET, date.max)
    assert lost[Cause.CACHE_MISS].cost_usd == pytest.approx(extra, rel=Decimal("0.001"))


async def test_what_the_cache_has_forgotten_by_then_is_no_miss(books):
    for hour, missed in ((0, False), (5_000, True)):
        run_id = await books.run(agent=f"cached-{hour}")
        await books.call(run_id, (*OK, used(100, 10, 0, 5_000, hour), 900))
        await books.call(run_id, (*OK, used(5_100, 10), 100), seq=1)
        assert bool((await books.line(key=f"cached-{hour}")).wasted) is missed


async def test_another_model_and_another_run_cannot_read_it(books):
    run_id = await books.run()
    await books.call(run_id, (*OK, used(100, 10, 0, 5_000), 60))
    await books.call(run_id, (*OK, used(5_100, 10), 30), seq=1, model=HAIKU)
    await books.call(await books.run(), (*OK, used(5_100, 10), 30))
    assert (await books.line()).wasted == {}


async def test_a_batch_that_answered_too_late_is_paid_for(books, db, database_url):
    step_id = await books.call(await books.run(), (*OK, used(1_000, 100), 10))
    execute(database_url, "INSERT INTO batch_items (step_id, state, result) VALUES (%s, 'spilled', %s)", step_id,
            json.dumps({"result": {"type": "succeeded", "message": {"usage": used(1_000, 100)}}}))  # fmt: skip
    line = await books.line()
    assert line.wasted[Cause.SPILLED_BATCH].tokens == 1_100
    assert line.wasted[Cause.SPILLED_BATCH].cost_usd == pytest.approx(line.cost_usd / 2)


async def test_a_batch_that_was_refused_or_never_answered_cost_nothing(books, db, database_url):
    for result in (None, json.dumps({"result": {"type": "errored", "error": {}}})):
        step_id = await books.call(await books.run(), (*OK, used(1_000, 100), 10))
        execute(
            database_url, "INSERT INTO batch_items (step_id, state, result) VALUES (%s, 'spilled', %s)", step_id, result
        )
    assert (await books.line()).wasted == {}


async def test_what_the_cache_saved_is_told(books):
    run_id = await books.run()
    await books.call(run_id, (*OK, used(0, 10, 10_000), 10))
    saved = (await books.line()).saved[Saving.PROMPT_CACHE]
    without = cost(used(10_000, 10), SONNET, date.max)
    assert saved == pytest.approx(without - cost(used(0, 10, 10_000), SONNET, date.max), rel=Decimal("0.001"))
    assert saved > 0


async def test_a_batch_saved_as_much_as_it_cost(books, database_url):
    step_id = await books.call(await books.run(), (*OK, {**used(1_000, 100), "service_tier": "batch"}, 10))
    execute(database_url, "INSERT INTO batch_items (step_id, state, result) VALUES (%s, 'succeeded', '{}')", step_id)
    line = await books.line()
    assert line.saved[Saving.BATCH] == line.cost_usd == cost(used(1_000, 100), SONNET, date.max) / 2


async def test_an_answer_that_was_known_saved_what_it_had_cost(books):
    await books.call(await books.run(), (*OK, {"agentfleet": {"cache": "hit", "saved_usd": "0.125"}}, 10))
    line = await books.line()
    assert (line.saved[Saving.ANSWER_CACHE], line.cost_usd, line.calls) == (Decimal("0.125"), 0, 0)


async def test_a_smaller_model_saved_what_the_agents_own_would_have_cost(books, db):
    bundle = await save_bundle(db, Bundle("bundle-2", AGENT, {**BUNDLE.spec, "model": SONNET}))
    run_id = await books.run(bundle_id=bundle.id)
    await books.call(run_id, (*OK, used(1_000, 100), 20), model=HAIKU)
    await books.call(run_id, (*OK, used(1_000, 100), 10), seq=1)
    own, small = (cost(used(1_000, 100), model, date.max) for model in (SONNET, HAIKU))
    assert (await books.line()).saved == {Saving.ROUTING: own - small}


async def test_usage_is_added_up_by_whatever_is_asked_for(books, db):
    await books.call(await books.run(agent="one"), (*OK, used(100), 10))
    await books.call(await books.run(agent="two"), (*OK, used(100), 10), model=HAIKU)
    await books.call(await books.run(tenant="rival"), (*OK, used(100), 10), tenant="rival")

    async def keys(by, tenant="acme"):
        return {
            line.key: line.calls for line in (await report(db, since=DAY, by=by, price=cost, tenant_id=tenant)).lines
        }

    assert await keys(By.AGENT) == {"one": 1, "two": 1}
    assert await keys(By.MODEL) == {SONNET: 1, HAIKU: 1}
    assert await keys(By.BUNDLE) == {"bundle-1": 2}
    assert await keys(By.DAY) == {f"{NOW:%Y-%m-%d}": 2}
    assert await keys(By.TENANT, None) == {"acme": 2, "rival": 1}


async def test_a_tenant_sees_its_own_usage_only(books, app_db):
    await books.call(await books.run(), (*OK, used(100), 10))
    await books.call(await books.run(tenant="rival"), (*OK, used(7_777), 10), tenant="rival")
    mine = await report(app_db, since=DAY, by=By.AGENT, price=cost, tenant_id="acme")
    assert mine.total.input_tokens == 100
    spent, lost = await usage.usage_of(app_db, "nobody", since=DAY, by=By.AGENT)
    assert (spent, lost) == ([], [])


async def test_runs_of_before_the_window_do_not_count(books, db, clock):
    await books.call(await books.run(), (*OK, used(100), 10))
    clock.advance(2 * DAY)
    assert (await report(db, since=DAY, by=By.AGENT, price=cost, tenant_id="acme")).lines == []
    assert (await report(db, since=3 * DAY, by=By.AGENT, price=cost, tenant_id="acme")).total.calls == 1


@pytest.mark.parametrize("seed", range(3))
async def test_causes_never_add_up_to_more_than_was_spent(books, db, database_url, seed):
    draw = random.Random(seed)  # a test's own dice

    def tokens() -> dict:
        write = draw.choice([0, draw.randrange(20_000)])
        return used(draw.randrange(5_000), draw.randrange(2_000), draw.choice([0, draw.randrange(50_000)]), write,
                    draw.choice([0, write, write // 2]))  # fmt: skip

    for _ in range(25):
        run_id = await books.run(draw.choice([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.RUNNING]),
                                 agent=draw.choice(["one", "two"]), prompt_tokens=draw.choice([None, 5_000]))  # fmt: skip
        for seq in range(draw.randrange(1, 6)):
            attempts = [draw.choice([("hand_back", "crashed", None), ("retry", "backoff", tokens()), ("retry", "backoff", None),
                                     ("hand_back", "interrupted", None), ("cancel", None, None), ("bury", "poison", None),
                                     ("snooze", "overloaded", tokens())]) for _ in range(draw.randrange(3))]  # fmt: skip
            attempts.append(
                draw.choice([("succeed", None, tokens()), ("succeed", None, tokens()), ("bury", "permanent", None)])
            )
            timed = [(*attempt, 3_000 - seq * 200 - n) for n, attempt in enumerate(attempts)]
            step_id = await books.call(run_id, *timed, model=draw.choice([SONNET, HAIKU, "claude-unknown"]), seq=seq,
                                       input_estimate=draw.choice([None, 3_000]))  # fmt: skip
            if draw.random() < 0.2:
                line = json.dumps({"result": {"type": "succeeded", "message": {"usage": tokens()}}})
                execute(
                    database_url,
                    "INSERT INTO batch_items (step_id, state, result) VALUES (%s, 'spilled', %s)",
                    step_id,
                    line,
                )
    [(recorded,)] = execute(database_url, "SELECT sum(cost_usd) FROM attempts")
    for by in By:
        found = await report(db, since=DAY, by=by, price=cost, tenant_id="acme")
        assert found.total.cost_usd == recorded
        for line in (*found.lines, found.total):
            assert line.wasted_usd - line.estimated_usd <= line.cost_usd + Decimal("0.0000001")
            assert line.wasted_usd <= line.cost_usd + line.estimated_usd + Decimal("0.0000001")
            assert all(lost.cost_usd >= 0 and lost.tokens >= 0 for lost in line.wasted.values())
        assert found.total.wasted[Cause.CRASHED].calls > 0
    totals = {by: (await report(db, since=DAY, by=by, price=cost, tenant_id="acme")).total.wasted_usd for by in By}
    assert max(totals.values()) - min(totals.values()) < Decimal("0.01")


async def test_who_sees_everybody_lists_every_tenant_once(books, db):
    for tenant in ("a", "b", "b", "c"):
        await books.run(tenant=tenant)
    assert await usage.tenants(db) == ["a", "b", "c"]
