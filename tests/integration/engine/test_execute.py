"""Whole runs through the real engine, without Celery: scripted model and tools, real database."""

import asyncio
from random import Random

import pytest

from agentfleet.domain.errors import EffectUnknown, StepError, ToolRetry, Unserviceable
from agentfleet.domain.states import StepState
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.ports import ToolResult
from agentfleet.engine.promote import Promoter
from tests.factories import POOL, make_tool, step_row, submit, tally
from tests.scripted import USAGE, Script, Tools, Worker, answer, ask_for

pytestmark = pytest.mark.usefixtures("invariants_hold")

TURNS = [ask_for("look", "book", "pay"), ask_for("look"), answer("all done")]
"""Two turns of tools, three of them at once, and an answer: 7 steps."""


@pytest.fixture
def ring(db, bells):
    """Dispatch whatever is ready."""
    return Dispatcher(db, bells, pool=POOL, window=1000).run_once


async def test_an_agent_with_parallel_tools_runs_to_its_answer(db, bells, ring):
    accepted = await submit(db, window=0)
    worker = Worker(db, bells, Script(TURNS))
    await ring()
    assert await worker.work() == 7

    found = await tally(db, accepted.run_id)
    assert (found.run.state, found.run.output) == ("succeeded", '"all done"')
    assert [s.kind for s in found.steps] == ["reason", "tool", "tool", "tool", "reason", "tool", "reason"]
    assert found.states == ["succeeded"] * 7
    assert [(m.turn, m.part, m.role) for m in found.messages] == [
        (0, 0, "user"), (1, 0, "assistant"), (2, 0, "user"), (2, 1, "user"), (2, 2, "user"), (3, 0, "assistant"),
        (4, 0, "user"), (5, 0, "assistant"),
    ]  # fmt: skip
    assert found.messages[1].content == TURNS[0].content, "what the model said is kept byte for byte"
    assert (found.run.tool_calls, found.run.cost_usd) == (4, 3 * USAGE.cost_usd)
    assert [e.type for e in found.events] == ["run.queued"] + ["step.succeeded"] * 7 + ["run.succeeded"]


@pytest.mark.parametrize("seed", range(3))
async def test_messages_delivered_three_times_in_any_order_run_each_step_once(db, other_db, bells, ring, seed):
    runs = [await submit(db, window=0) for _ in range(5)]
    model, tools = Script(TURNS), Tools()
    workers = [Worker(one, bells, model, tools, name=name) for one, name in ((db, "w:1"), (other_db, "w:2"))]
    await ring()
    order = Random(seed)  # a repeatable disorder, not a secret
    settled = 0
    while ids := bells.take() * 3:
        order.shuffle(ids)
        outcomes = await asyncio.gather(*(order.choice(workers).execute(step_id) for step_id in ids))
        settled += sum(outcome is not None for outcome in outcomes)
    assert settled == 7 * len(runs)
    assert len(model.calls) == len(set(model.calls)) == 3 * len(runs)
    assert len(tools.calls) == len(set(tools.calls)) == 4 * len(runs)
    for run in runs:
        assert (await tally(db, run.run_id)).run.state == "succeeded"


async def test_a_tool_that_fails_is_told_to_the_model_and_not_retried(db, bells):
    async def fails(claimed):
        return ToolResult("no such order", is_error=True)

    accepted = await submit(db)
    worker = Worker(db, bells, Script([ask_for("look"), answer()]), Tools(fails))
    assert await worker.execute(accepted.step_id) == "succeed"
    await worker.work()
    found = await tally(db, accepted.run_id)
    assert found.run.state == "succeeded"
    assert '"is_error":true' in found.messages[2].content


async def test_a_tool_that_asks_for_another_try_gets_one_later(db, bells, clock, ring):
    tries = []

    async def second_time(claimed):
        tries.append(claimed.attempt)
        if len(tries) == 1:
            raise ToolRetry(after=100)
        return ToolResult("ok")

    made = await make_tool(db, "look", StepState.DISPATCHED)
    worker = Worker(db, bells, Script([answer()]), Tools(second_time))
    assert await worker.execute(made.step_id) == "retry"
    clock.advance(101)
    await Promoter(db, bells).run_once()
    await ring()
    await worker.work()
    assert tries == [1, 2]


async def test_an_unsafe_tool_that_cannot_be_recorded_is_for_a_human(db, bells):
    """The call was made; whatever broke after it, it must not be made again."""

    async def breaks(claimed):
        raise OSError("the answer got lost on our side")

    made = await make_tool(db, "pay", StepState.DISPATCHED)
    worker = Worker(db, bells, Script([answer()]), Tools(breaks))
    assert await worker.execute(made.step_id) == "bury"
    [letter] = (await tally(db, made.run_id)).dead_letters
    assert letter.verdict == "unknown_effect"


@pytest.mark.parametrize(
    ("error", "state"),
    [(Unserviceable("unknown agent"), "waiting"), (EffectUnknown("?"), "dead"), (StepError("?"), "waiting")],
)
async def test_how_an_attempt_ends_is_what_the_verdict_says(db, bells, error, state):
    async def fails(claimed):
        raise error

    made = await make_tool(db, "look", StepState.DISPATCHED)
    await Worker(db, bells, Script([answer()]), Tools(fails)).execute(made.step_id)
    assert (await step_row(db, made.step_id)).state == state


async def test_a_model_call_that_takes_too_long_is_an_attempt(db, bells):
    async def never(request):
        await asyncio.Event().wait()

    accepted = await submit(db)
    worker = Worker(db, bells, Script([answer()], never))
    worker.execute._performer._reason_timeout = 0.01
    assert await worker.execute(accepted.step_id) == "retry"
