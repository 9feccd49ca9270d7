"""Why a run waits, in words and numbers."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.states import BLOCKED_ON, RunState, StepState
from agentfleet.domain.waiting import DETAILS, WAITS_FOR, Foremost, Pace, explain, remaining

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ERROR = json.dumps({"class": "tool_retry", "message": "the shop\n is  closed {today}"})
STEP = Foremost(
    StepState.WAITING, "tool", "look", 3, "default", 2, "timer", None, ERROR, NOW + timedelta(seconds=40),
    NOW - timedelta(seconds=5), "step-1", NOW,
)  # fmt: skip
READY = replace(STEP, state=StepState.READY, blocked_on=None, due=None)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_run_of_which_something_runs_does_not_wait():
    assert explain(RunState.RUNNING, replace(STEP, state=StepState.RUNNING)) is None


@pytest.mark.parametrize(
    ("state", "run", "what"),
    [
        (StepState.READY, RunState.RUNNING, "queue"),
        (StepState.READY, RunState.QUEUED, "queue"),
        (StepState.DISPATCHED, RunState.RUNNING, "worker"),
        (StepState.WAITING, RunState.WAITING, "timer"),
        (StepState.DEAD, RunState.NEEDS_REVIEW, "review"),
        (StepState.READY, RunState.PAUSED, "resume"),
    ],
)
def test_states_say_what_is_waited_for(state, run, what):
    assert explain(run, replace(STEP, state=state)).blocked_on == what


@pytest.mark.parametrize("what", BLOCKED_ON)
def test_everything_that_may_block_a_run_has_its_sentence(what):
    waiting = explain(RunState.WAITING, replace(STEP, blocked_on=what))
    assert waiting.blocked_on == what
    assert waiting.detail.startswith("Step 3 ")
    assert set(DETAILS) == {*WAITS_FOR, "bucket"}


def test_a_sentence_quotes_the_error_on_one_line():
    assert explain(RunState.WAITING, STEP).detail == (
        "Step 3 tries the tool look again after 2 failed attempts: the shop is closed {today}"
    )


def test_a_sentence_names_the_bucket():
    step = replace(
        STEP, blocked_on="provider", bucket="main/sonnet-5.5", kind="reason", name="claude-sonnet-5-5", error=None
    )
    assert "main/sonnet-5.5" in explain(RunState.WAITING, step).detail


def test_a_sentence_quotes_the_provider_that_refused_rather_than_its_bucket():
    error = json.dumps({"class": "provider_parked", "message": "the organization cannot pay"})
    step = replace(STEP, blocked_on="provider", bucket="main/sonnet-5.5", error=error)
    assert explain(RunState.WAITING, step).detail == "Step 3 waits for the provider: the organization cannot pay"
    busy = replace(step, error=json.dumps({"class": "provider_busy", "message": "no room"}))
    assert "main/sonnet-5.5" in explain(RunState.WAITING, busy).detail


def test_a_long_error_does_not_make_a_long_sentence():
    error = json.dumps({"message": "x" * 10_000})
    assert len(explain(RunState.WAITING, replace(STEP, error=error)).detail) < 500


def test_what_is_due_is_expected_when_due_and_never_in_the_past():
    assert explain(RunState.WAITING, STEP).expected_start == after(40)
    assert explain(RunState.WAITING, replace(STEP, due=after(-9))).expected_start == NOW


def test_what_is_in_the_queue_is_expected_by_its_position_and_the_pace():
    assert explain(RunState.QUEUED, READY, position=30, pace=Pace(claims=2.0)).expected_start == after(15)
    assert explain(RunState.QUEUED, READY, position=30, pace=Pace()).expected_start is None


def test_a_batch_is_expected_by_what_batches_took():
    step = replace(STEP, blocked_on="batch")
    assert explain(RunState.WAITING, step, pace=Pace(batch=65)).expected_start == after(60)
    assert explain(RunState.WAITING, step, pace=Pace(batch=1)).expected_start == NOW
    assert explain(RunState.WAITING, step).expected_start is None


@pytest.mark.parametrize("what", ["budget", "approval", "signal", "children"])
def test_what_somebody_else_decides_has_no_expectation(what):
    waiting = explain(RunState.WAITING, replace(STEP, blocked_on=what), durations=[1.0, 2.0])
    assert (waiting.expected_start, waiting.expected_finish) == (None, None)


def test_a_run_that_has_not_begun_finishes_as_long_after_its_start_as_others_took():
    waiting = explain(
        RunState.QUEUED, READY, position=30, pace=Pace(claims=2.0), durations=[float(n) for n in range(100)]
    )
    assert (waiting.expected_finish.p50, waiting.expected_finish.p90) == (after(15 + 50), after(15 + 90))


def test_a_run_that_has_begun_is_compared_with_those_that_lasted_as_long():
    started = NOW - timedelta(seconds=100)
    waiting = explain(RunState.WAITING, STEP, started_at=started, durations=[1, 2, 3, 150, 160, 170, 180, 190])
    assert (waiting.expected_finish.p50, waiting.expected_finish.p90) == (after(70), after(90))
    assert explain(RunState.WAITING, STEP, started_at=started, durations=[1, 2, 3]).expected_finish is None


@given(
    durations=st.lists(st.floats(0, 1e6), max_size=50), elapsed=st.floats(0, 1e6), due=st.floats(-1e6, 1e6),
    started=st.booleans(),
)  # fmt: skip
def test_expectations_are_in_order_and_never_past(durations, elapsed, due, started):
    step = replace(STEP, due=after(due))
    waiting = explain(RunState.WAITING, step, started_at=after(-elapsed) if started else None, durations=durations)
    assert waiting.expected_start >= NOW
    if waiting.expected_finish is not None:
        assert waiting.expected_start <= waiting.expected_finish.p50 <= waiting.expected_finish.p90


@given(durations=st.lists(st.floats(0, 1e6), min_size=1), elapsed=st.floats(0, 1e6), quantile=st.floats(0, 1))
def test_what_remains_is_what_some_run_took_beyond(durations, elapsed, quantile):
    left = remaining(durations, elapsed, quantile)
    if left is None:
        assert max(durations) <= elapsed
    else:
        assert left > 0
        assert left in [seconds - elapsed for seconds in durations]
