"""Runs that have time go through Message Batches, at half the price, and are on time all the same."""

import json
from decimal import Decimal
from typing import Any

import pytest

from agentfleet.domain.batch import PATIENCE
from agentfleet.domain.model import Bundle
from agentfleet.engine.replay import Undertaker
from tests import factories
from tests.integration.batches.stage import BUNDLE, HOUR, LOOK, Stage
from tests.integration.simulator.talk import control


async def fail(stage: Stage, fault: str, endpoint: str, **more: Any) -> None:
    """Let calls of an endpoint fail."""
    answer = await control(stage.sim, "POST", "faults", {"fault": fault, "match": {"endpoint": endpoint}, **more})
    assert answer.status_code == 201, answer.text


async def slow(stage: Stage) -> None:
    """From now on the last request of a batch is answered after five hours."""
    await control(stage.sim, "PATCH", "config", {"batches": {"seconds": 5 * HOUR}})


async def test_runs_wait_for_one_batch_and_go_on_when_its_results_land(stage: Stage) -> None:
    await stage.submit(3)
    await stage.work()
    assert stage.query("SELECT DISTINCT state, blocked_on FROM runs") == [("waiting", "batch")]
    await stage.sender.run_once()
    assert (stage.batches(), stage.items()) == (["sent"], ["sending"] * 3)
    stage.pass_time(60)
    assert await stage.receiver.run_once() == 3
    await stage.work()
    assert stage.states() == ["succeeded"] * 3
    assert (stage.batches(), stage.items()) == (["ended"], ["succeeded"] * 3)
    assert stage.calls("messages") == []
    assert stage.query("SELECT DISTINCT attempt FROM steps") == [(1,)], "waiting costs no attempt"
    events = stage.query("SELECT data FROM run_events WHERE type = 'step.snoozed'")
    assert {json.loads(data)["blocked_on"] for (data,) in events} == {"batch"}


async def test_a_batch_costs_half_of_what_a_direct_call_costs(stage: Stage) -> None:
    bundle = Bundle("bundle-uncached", BUNDLE.agent, {**BUNDLE.spec, "cache": False})
    await factories.save_bundle(stage.db, bundle)
    await stage.submit(1, bundle_id=bundle.id)
    await stage.submit(1, bundle_id=bundle.id, lane=None)
    await stage.through()
    assert stage.states() == ["succeeded"] * 2
    half, whole = sorted(row[0] for row in stage.query("SELECT cost_usd FROM runs"))
    assert half * 2 == whole > Decimal(0)
    [(usage,)] = stage.query("SELECT a.usage FROM attempts a WHERE a.cost_usd = %s", half)
    assert json.loads(usage)["service_tier"] == "batch"


async def test_a_batch_says_exactly_what_a_direct_call_says_and_keeps_its_prefix_for_an_hour(stage: Stage) -> None:
    await stage.submit(1)
    await stage.submit(1, lane=None)
    await stage.through()
    [direct], [batched] = stage.calls("messages"), stage.calls("batch_item")
    assert direct.input == batched.input
    writes = [
        json.loads(row[0])["cache_creation"] for row in stage.query("SELECT usage FROM attempts WHERE usage <> ''")
    ]
    assert all(one["ephemeral_1h_input_tokens"] == 0 or one["ephemeral_5m_input_tokens"] == 0 for one in writes)


async def test_an_agent_with_tools_goes_from_batch_to_batch(stage: Stage) -> None:
    bundle = Bundle("bundle-tools", BUNDLE.agent, {**BUNDLE.spec, "tools": [LOOK], "thinking": "adaptive"})
    await factories.save_bundle(stage.db, bundle)
    await stage.submit(2, bundle_id=bundle.id)
    for _ in range(3):
        await stage.through()
    assert stage.states() == ["succeeded"] * 2
    assert stage.calls("messages") == []
    assert len(stage.batches()) == 2, "the tools ran in between"
    assert stage.query("SELECT DISTINCT tool_calls FROM runs") == [(1,)]


async def test_near_the_deadline_a_step_calls_directly_and_what_comes_later_is_waste(stage: Stage) -> None:
    await slow(stage)
    await stage.submit(2)
    await stage.work()
    await stage.sender.run_once()
    stage.pass_time(4.5 * HOUR - 60)
    await stage.work()
    assert stage.states() == ["waiting"] * 2
    stage.pass_time(120)  # a quarter of six hours is kept
    await stage.work()
    assert stage.states() == ["succeeded"] * 2
    assert stage.items() == ["spilled"] * 2
    assert len(stage.calls("messages")) == 2
    stage.pass_time(HOUR)
    await stage.receiver.run_once()
    await stage.receiver.run_once()
    rows = stage.query("SELECT state, result IS NOT NULL FROM batch_items")
    assert rows == [("spilled", True)] * 2
    assert stage.query("SELECT sum(cost_usd) = (SELECT sum(cost_usd) FROM attempts) FROM runs") == [(True,)]


async def test_a_lane_that_nobody_serves_is_left_after_a_quarter_of_an_hour(stage: Stage) -> None:
    await stage.submit(1)
    await stage.work()
    stage.pass_time(PATIENCE - 30)
    await stage.work()
    assert stage.states() == ["waiting"]
    stage.pass_time(60)
    await stage.work()
    assert stage.states() == ["succeeded"]
    assert stage.items() == ["spilled"]
    await stage.sender.run_once()
    assert stage.batches() == []


async def test_a_step_that_calls_directly_before_long_is_put_into_no_batch(stage: Stage) -> None:
    await stage.submit(1, deadline=2_400.0)
    await stage.work()
    stage.pass_time(400)
    await stage.sender.run_once()
    assert (stage.states(), stage.batches()) == (["waiting"], [])
    stage.pass_time(200)
    await stage.work()
    assert (stage.states(), stage.items()) == (["succeeded"], ["spilled"])


@pytest.mark.parametrize("deadline", [1900.0, 60.0])
async def test_a_deadline_without_slack_is_met_by_a_direct_call(stage: Stage, deadline: float) -> None:
    await stage.submit(1, deadline=deadline)
    await stage.work()
    assert stage.states() == ["succeeded"]
    assert stage.items() == []


@pytest.mark.parametrize("fault", ["server_error", "overloaded", "rate_limited", "unauthorized"])
async def test_a_request_that_fails_for_want_of_luck_is_called_directly(stage: Stage, fault: str) -> None:
    await fail(stage, fault, "batch_item")
    await stage.submit(1)
    await stage.through()
    assert stage.states() == ["succeeded"]
    assert stage.items() == ["spilled"]
    assert len(stage.calls("messages")) == 1


async def test_a_request_that_is_refused_is_a_dead_letter_and_a_replay_calls_directly(stage: Stage) -> None:
    await fail(stage, "invalid_request", "batch_item")
    await stage.submit(1)
    await stage.through()
    assert stage.states() == ["needs_review"]
    [(letter, verdict)] = stage.query("SELECT id::text, verdict FROM dead_letters")
    assert verdict == "permanent"
    assert stage.calls("messages") == []
    await Undertaker(stage.db, stage.bells, stage.canceller).replay(factories.TENANT, [letter])
    await stage.work()
    assert stage.states() == ["succeeded"]


async def test_what_expires_in_the_batch_is_called_directly(stage: Stage) -> None:
    await fail(stage, "stall_before_headers", "batch_item")
    await stage.submit(1, deadline=48 * HOUR)
    await stage.through(25 * HOUR)
    assert stage.states() == ["succeeded"]
    assert [json.loads(row[0])["result"]["type"] for row in stage.query("SELECT result FROM batch_items")] == [
        "expired"
    ]


async def test_a_batch_of_which_nothing_is_wanted_any_more_is_cancelled(stage: Stage) -> None:
    await slow(stage)
    runs = await stage.submit(3)
    await stage.work()
    await stage.sender.run_once()
    await stage.canceller.cancel(runs[0])
    await stage.receiver.run_once()
    assert stage.calls("batches", lambda entry: entry.path.endswith("/cancel")) == []
    for run in runs[1:]:
        await stage.canceller.cancel(run)
    await stage.receiver.run_once()
    await stage.receiver.run_once()
    assert len(stage.calls("batches", lambda entry: entry.path.endswith("/cancel"))) == 1
    stage.pass_time(HOUR)
    await stage.receiver.run_once()
    assert stage.batches() == ["ended"]
    assert stage.paid() == []
    assert stage.items() == ["spilled"] * 3


async def test_more_than_fits_goes_into_several_batches_at_once(stage: Stage) -> None:
    stage.sender = stage.new_sender(max_requests=2)
    await stage.submit(5)
    await stage.work()
    while await stage.sender.run_once():
        pass
    assert stage.query("SELECT requests FROM batches ORDER BY created_at") == [(2,), (2,), (1,)]
    stage.pass_time(60)
    await stage.receiver.run_once()
    await stage.work()
    assert stage.states() == ["succeeded"] * 5


@pytest.mark.parametrize("fault", ["stream_truncated", "stream_reset"])
async def test_results_that_break_off_are_read_again_and_stored_once(stage: Stage, fault: str) -> None:
    await fail(stage, fault, "batch_results", times=1)
    await stage.submit(6)
    await stage.through()
    assert stage.batches() == ["sent"]
    stage.pass_time(60)
    await stage.receiver.run_once()
    await stage.work()
    assert stage.states() == ["succeeded"] * 6
    assert stage.batches() == ["ended"]
    assert len(stage.paid()) == len(set(stage.paid())) == 6


async def test_a_batch_that_was_deleted_at_the_provider_is_given_up(stage: Stage) -> None:
    await stage.submit(1)
    await stage.work()
    await stage.sender.run_once()
    stage.sim.simulator.batches.all.clear()
    stage.sim.simulator.batches.open.clear()
    stage.pass_time(60)
    await stage.receiver.run_once()
    await stage.work()
    assert stage.batches() == ["lost"]
    assert stage.states() == ["succeeded"]


async def test_a_refusal_of_the_batch_itself_spills_it_at_once(stage: Stage) -> None:
    await fail(stage, "request_too_large", "batches", times=1)
    await stage.submit(2)
    await stage.work()
    await stage.sender.run_once()
    await stage.work()
    assert (stage.states(), stage.batches()) == (["succeeded"] * 2, ["lost"])


@pytest.mark.parametrize("fault", ["rate_limited", "overloaded", "forbidden"])
async def test_a_batch_that_is_refused_for_now_is_made_again_after_a_rest(stage: Stage, fault: str) -> None:
    await fail(stage, fault, "batches", times=1)
    await stage.submit(2)
    await stage.work()
    await stage.sender.run_once()
    assert stage.batches() == ["lost"]
    await stage.sender.run_once()
    assert stage.batches() == ["lost"], "the account is left alone for a while"
    stage.pass_time(61)
    await stage.through()
    assert (stage.states(), stage.batches()) == (["succeeded"] * 2, ["lost", "ended"])
    assert stage.calls("messages") == []


async def test_a_run_at_its_ceiling_asks_for_no_batch(stage: Stage) -> None:
    await stage.submit(1)
    stage.query("""UPDATE runs SET budget = '{"max_cost_usd": "0.000001"}'""")
    await stage.work()
    assert stage.query("SELECT state, blocked_on FROM runs") == [("waiting", "budget")]
    assert stage.items() == []


async def test_an_answer_that_is_paid_for_is_told_whatever_the_budget_says_by_then(stage: Stage) -> None:
    await stage.submit(1)
    await stage.work()
    await stage.sender.run_once()
    stage.query("""UPDATE runs SET budget = '{"max_cost_usd": "0.000001"}'""")
    stage.pass_time(60)
    await stage.receiver.run_once()
    await stage.work()
    assert stage.query("SELECT state, cost_usd > 0 FROM runs") == [("succeeded", True)]
