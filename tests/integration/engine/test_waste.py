"""What is wasted counts: in the run, in the attempt, in the metrics."""

from decimal import Decimal

import pytest

from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import LeaseExpired, ProviderUnavailable
from agentfleet.domain.retry import RetryPolicy
from agentfleet.domain.states import StepState
from agentfleet.domain.waste import By, Cause
from agentfleet.engine.rescue import Rescuer
from agentfleet.engine.settle import Settler
from agentfleet.engine.usage import report
from agentfleet.provider.prices import cost
from agentfleet.telemetry import metrics
from tests.factories import POOL, TENANT, claim, execute, make_run, make_step, submit, tally
from tests.integration.engine.outcomes import USAGE, failed, finished, hold_again, settle

pytestmark = pytest.mark.usefixtures("invariants_hold")
HALF = Usage(900, 1, cost_usd=Decimal("0.0018"))


def broken() -> ProviderUnavailable:
    error = ProviderUnavailable("the stream broke", usage={"input_tokens": 900, "output_tokens": 1})
    error.usage = HALF
    return error


class Seen:
    """What the metrics of a cause have gained."""

    def __init__(self, cause: Cause) -> None:
        self._metrics = metrics.WASTED_TOKENS.labels(cause.value), metrics.WASTED_COST.labels(cause.value)
        self._before = [one._value.get() for one in self._metrics]

    @property
    def gained(self) -> list[float]:
        return [round(one._value.get() - before, 9) for one, before in zip(self._metrics, self._before, strict=True)]


async def test_half_an_answer_counts_in_its_run_and_in_its_attempt(db):
    seen, accepted = Seen(Cause.HALF_STREAM), await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), broken()))
    found = await tally(db, accepted.run_id)
    assert (found.run.input_tokens, found.run.cost_usd, found.run.prompt_tokens) == (900, HALF.cost_usd, None)
    assert (found.attempts[0].usage, found.attempts[0].cost_usd) == (
        '{"input_tokens": 900, "output_tokens": 1}', HALF.cost_usd)  # fmt: skip
    assert seen.gained == [901, 0.0018]
    lost = (await report(db, since=3_600, by=By.AGENT, price=cost, tenant_id=TENANT)).total.wasted
    assert (lost[Cause.HALF_STREAM].tokens, lost[Cause.HALF_STREAM].cost_usd) == (901, HALF.cost_usd)


async def test_a_failure_that_cost_nothing_is_no_waste(db):
    seen, accepted = Seen(Cause.HALF_STREAM), await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), ProviderUnavailable("no connection")))
    assert seen.gained == [0, 0]


async def test_an_answer_that_was_dropped_is_counted_with_what_it_cost(db, database_url):
    seen, made = Seen(Cause.DROPPED), await make_step(db, lease=-1)
    zombie = await hold_again(db, made.step_id)
    await settle(db, failed(zombie, LeaseExpired("gone"), rescue=True))
    assert await settle(db, finished(zombie)) == [False]
    assert seen.gained == [USAGE.context_tokens, float(USAGE.cost_usd)]


@pytest.mark.parametrize(("columns", "tokens"), [({"input_estimate": 700}, 700), ({}, 500)])
async def test_a_crashed_call_is_counted_with_the_prompt_that_is_known(db, bells, columns, tokens):
    seen = Seen(Cause.CRASHED)
    run_id = await make_run(db, steps_total=1, open_steps=1, prompt_tokens=500)
    await make_step(db, StepState.RUNNING, run_id=run_id, lease=-1, **columns)
    settler = Settler(db, bells, window=1000)
    rescuer = Rescuer(db, settler, bells, RetryPolicy(), pool=POOL, lease=30, heartbeat=0, poll=0)
    assert await rescuer.run_once() == 1
    assert seen.gained == [tokens, 0]


async def test_a_run_that_goes_on_after_half_an_answer_has_paid_for_both(db, database_url):
    accepted = await submit(db)
    await settle(db, failed(await claim(db, accepted.step_id), broken()))
    execute(database_url, "UPDATE steps SET state = 'dispatched', not_before = NULL, dispatched_at = now()")
    execute(database_url, "UPDATE runs SET state = 'running', blocked_on = NULL, waiting_steps = 0")
    await settle(db, finished(await claim(db, accepted.step_id)))
    run = (await tally(db, accepted.run_id)).run
    assert run.cost_usd == HALF.cost_usd + USAGE.cost_usd
