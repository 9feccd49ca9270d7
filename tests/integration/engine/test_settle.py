"""Settle: everything that the end of an attempt writes, in one transaction, once."""

import asyncio
from decimal import Decimal

import psycopg
import pytest

from agentfleet.domain.errors import BudgetExceeded, ProviderRejected, ProviderUnavailable
from agentfleet.domain.model import Message
from agentfleet.engine.settle import Settler
from tests.factories import POOL, claim, make_siblings, make_step, make_tool, step_row, submit, tally
from tests.integration.engine.outcomes import (
    USAGE,
    asked_again,
    asked_for,
    failed,
    finished,
    gave_up,
    held,
    returned,
    settle,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def test_an_answer_ends_the_run_with_its_output(db):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    assert await settle(db, finished(claimed, '{"ok":1}')) == [True]

    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.run.output, found.run.open_steps) == ("succeeded", '{"ok":1}', 0)
    assert found.run.finished_at is not None
    assert [m.role for m in found.messages] == ["user", "assistant"]
    assert [e.type for e in found.events] == ["run.queued", "step.succeeded", "run.succeeded"]
    [attempt] = found.attempts
    assert (attempt.outcome, attempt.attempt, attempt.fence, attempt.worker) == ("succeed", 1, 1, "test:1")
    assert (attempt.request_id, attempt.usage, attempt.cost_usd) == ("req_1", "{}", USAGE.cost_usd)


async def test_tool_calls_become_steps_that_are_published_after_the_commit(db, bells):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    await settle(db, asked_for(claimed, "look", "pay"), bells=bells)

    found = await tally(db, accepted.run_id)
    tools = [(s.seq, s.kind, s.name, s.turn, s.part, s.effect, s.state) for s in found.steps[1:]]
    assert tools == [(1, "tool", "look", 2, 0, "read", "dispatched"), (2, "tool", "pay", 2, 1, "unsafe", "dispatched")]
    assert sorted(bells.take()) == sorted(str(s.id) for s in found.steps[1:])
    assert (found.run.state, found.run.open_steps, found.run.steps_total) == ("running", 2, 3)


async def test_a_full_window_leaves_the_next_steps_to_the_dispatcher(db, bells):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    await Settler(db, bells, window=0)(asked_for(claimed, "look"), "test:1")
    assert (await tally(db, accepted.run_id)).states == ["succeeded", "ready"]
    assert (bells.take(), bells.woken) == ([], [POOL])


async def test_usage_adds_up_over_the_run(db):
    accepted = await submit(db)
    claimed = await claim(db, accepted.step_id)
    await settle(db, asked_again(claimed))
    [again] = (await tally(db, accepted.run_id)).steps[1:]
    await settle(db, finished(await claim(db, str(again.id))))

    run = (await tally(db, accepted.run_id)).run
    assert (run.input_tokens, run.output_tokens, run.cache_read_tokens, run.cache_write_tokens) == (14, 10, 6, 4)
    assert run.cost_usd == Decimal("0.5")


async def test_settlements_of_many_runs_in_one_batch_do_not_mix(db, bells):
    accepted = [await submit(db) for _ in range(40)]
    claimed = [await claim(db, one.step_id) for one in accepted]
    settler = Settler(db, bells, window=1000)
    endings = [finished(one, f'"{n}"') if n % 2 else asked_for(one, "look") for n, one in enumerate(claimed)]
    assert all(await asyncio.gather(*(settler(ending, "test:1") for ending in endings)))

    for n, one in enumerate(accepted):
        found = await tally(db, one.run_id)
        assert (found.run.output, len(found.steps)) == ((f'"{n}"', 1) if n % 2 else (None, 2))


async def test_a_run_that_fails_leaves_no_dead_letter_open(db):
    failing, dying = await make_siblings(db, 2)
    await settle(db, failed(held(dying, 1), ProviderRejected("no")))
    await settle(db, gave_up(held(failing)))
    found = await tally(db, failing.run_id)
    assert (found.run.state, [letter.state for letter in found.dead_letters]) == ("failed", ["discarded"])


@pytest.mark.parametrize("text", ["NUL \x00", "half a pair \ud800"])
async def test_an_unwritable_result_fails_alone(db, bells, text):
    steps = [await make_tool(db) for _ in range(6)]
    outcomes = [returned(held(step)) for step in steps]
    poison = outcomes[3]
    object.__setattr__(poison, "messages", (Message(2, 0, "user", text),))
    settler = Settler(db, bells, window=1000)
    done = await asyncio.gather(*(settler(one, "test:1") for one in outcomes), return_exceptions=True)

    assert isinstance(done[3], psycopg.DataError | UnicodeEncodeError)
    assert done[:3] + done[4:] == [True] * 5
    assert [(await step_row(db, step.step_id)).state for step in steps].count("running") == 1


async def test_a_dead_step_waits_in_review_while_its_siblings_settle(db):
    dying, living = await make_siblings(db, 2)
    await settle(db, failed(held(dying), ProviderRejected("no")))
    found = await tally(db, dying.run_id)
    assert (found.run.state, found.states) == ("needs_review", ["dead", "running"])
    [letter] = found.dead_letters
    assert (letter.state, letter.verdict, str(letter.step_id)) == ("open", "permanent", dying.step_id)

    assert await settle(db, returned(held(living, 1))) == [True]
    found = await tally(db, dying.run_id)
    assert (found.run.state, found.states) == ("needs_review", ["dead", "succeeded"])
    assert found.run.error is not None, "why the run needs review must outlive its siblings"


async def test_a_run_that_fails_takes_its_open_steps_with_it(db):
    failing, *others = await make_siblings(db, 3)
    await settle(db, failed(held(others[1], 2), ProviderUnavailable("later")))
    await settle(db, gave_up(held(failing)))

    found = await tally(db, failing.run_id)
    assert (found.run.state, found.run.open_steps, found.run.waiting_steps) == ("failed", 0, 0)
    assert found.states == ["succeeded", "cancelled", "cancelled"]
    assert await settle(db, returned(held(others[0], 1))) == [False]


async def test_a_spent_budget_lets_the_run_wait_and_costs_no_attempt(db):
    made = await make_step(db)
    await settle(db, failed(held(made), BudgetExceeded("enough")))
    found = await tally(db, made.run_id)
    assert (found.run.state, found.run.blocked_on) == ("waiting", "budget")
    assert (found.steps[0].attempt, found.dead_letters) == (0, [])


async def test_failing_outweighs_needing_review_in_one_batch(db, bells):
    failing, dying = await make_siblings(db, 2)
    settler = Settler(db, bells, window=10)
    outcomes = gave_up(held(failing)), failed(held(dying, 1), ProviderRejected("no"))
    assert await asyncio.gather(*(settler(one, "test:1") for one in outcomes)) == [True, True]
    run = (await tally(db, failing.run_id)).run
    assert run.state == "failed"
    assert "enough" in run.error


async def test_a_run_waits_only_when_all_its_open_steps_do(db):
    first, second = await make_siblings(db, 2)
    await settle(db, failed(held(first), ProviderUnavailable("later")))
    run = (await tally(db, first.run_id)).run
    assert (run.state, run.blocked_on, run.waiting_steps) == ("running", None, 1)
    await settle(db, returned(held(second, 1)))
    run = (await tally(db, first.run_id)).run
    assert (run.state, run.blocked_on) == ("waiting", "timer")
