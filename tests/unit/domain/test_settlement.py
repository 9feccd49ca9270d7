import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentfleet.domain import errors as e
from agentfleet.domain.budget import Progress, Usage
from agentfleet.domain.model import Claimed, Message, NextStep, Settlement, StepKind
from agentfleet.domain.plan import Continue, Finish, GiveUp
from agentfleet.domain.retry import POISON_AFTER, RetryPolicy
from agentfleet.domain.settlement import MAX_ERROR_CHARS, EventType, describe, failed, succeeded
from agentfleet.domain.states import BLOCKED_ON, RunEvent, StepEvent, StepState, step_after
from agentfleet.domain.verdicts import VERDICTS, Verdict

POLICY = RetryPolicy(max_attempts=3, base=2.0, cap=600.0)


def claim(kind: StepKind = StepKind.REASON, *, attempt: int = 1, crashes: int = 0, snoozes: int = 0) -> Claimed:
    return Claimed(
        "step-1", "run-1", "tenant-1", "auditor", "bundle-1", "default", seq=4, kind=kind, name="look", turn=3, part=0,
        input="{}", effect=None, fence=7, attempt=attempt, crashes=crashes, snoozes=snoozes, queue_wait=0.0,
        run_age=0.0, deadline_at=None, traceparent=None, metadata={}, progress=Progress(),
    )  # fmt: skip


def fail(error: BaseException, *, rescue: bool = False) -> Settlement:
    return failed(claim(), error, POLICY, jitter=0.5, rescue=rescue)


def make(cls: type[e.StepError]) -> e.StepError:
    return cls("it broke")


errors = st.sampled_from(sorted(VERDICTS, key=lambda cls: cls.__name__)).map(make) | st.sampled_from(
    [ValueError("x"), TimeoutError(), e.StepError("x", why="y")]
)
failures = st.builds(
    failed,
    st.builds(claim, attempt=st.integers(1, 5), crashes=st.integers(0, 4), snoozes=st.integers(0, 40)),
    errors,
    st.just(POLICY),
    jitter=st.floats(0, 1, exclude_max=True),
    rescue=st.booleans(),
)
texts = st.text(st.characters(exclude_categories=[]))  # every code point: NUL, and halves of surrogate pairs
evidence = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts | st.just(Decimal("0.1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(failures)
def test_a_failure_follows_the_table_and_is_fenced(done: Settlement) -> None:
    assert (done.step_id, done.run_id, done.fence) == ("step-1", "run-1", 7)
    assert done.state is step_after(StepState.RUNNING, done.event)
    assert done.state is not StepState.SUCCEEDED
    assert not done.messages
    assert not done.steps


@given(failures)
def test_a_step_that_waits_has_a_date_and_a_reason_and_no_other_has(done: Settlement) -> None:
    waits = done.state is StepState.WAITING
    assert (done.delay is not None) is waits
    assert (done.blocked_on in BLOCKED_ON) is waits
    assert (done.blocked_on is not None) is waits


@given(failures)
def test_a_step_that_is_given_up_on_decides_over_its_run_and_no_other_does(done: Settlement) -> None:
    assert (done.run.event if done.run else None) is (RunEvent.REVIEW if done.state is StepState.DEAD else None)
    if done.run is not None:
        assert done.run.error == done.error


@given(failures)
def test_events_tell_what_happened_to_the_step_and_then_to_the_run(done: Settlement) -> None:
    types = [event.type for event in done.events]
    step = json.loads(done.events[0].data)
    expected = {
        StepEvent.RETRY: EventType.STEP_RETRYING,
        StepEvent.SNOOZE: EventType.STEP_SNOOZED,
        StepEvent.HAND_BACK: EventType.STEP_HANDED_BACK,
        StepEvent.BURY: EventType.STEP_DEAD,
    }
    assert types == [expected[done.event], *([EventType.RUN_NEEDS_REVIEW] if done.run else [])]
    assert (step["step_id"], step["seq"], step["kind"], step["name"]) == ("step-1", 4, "reason", "look")
    assert step["verdict"] == done.verdict
    assert step.get("delay") == done.delay


E = StepEvent
LIMIT = POISON_AFTER[StepKind.REASON]
REVIEW = RunEvent.REVIEW


@pytest.mark.parametrize(
    ("error", "counters", "event", "verdict", "spent", "run"),
    [
        (e.ProviderRateLimited, {"attempt": 9}, E.SNOOZE, Verdict.RETRY_AT, False, None),
        (e.ProviderOverloaded, {"attempt": 9}, E.SNOOZE, Verdict.OVERLOADED, False, None),
        (e.ProviderParked, {"attempt": 9}, E.SNOOZE, Verdict.PARK, False, None),
        (e.WorkerStopping, {"attempt": 9}, E.HAND_BACK, Verdict.INTERRUPTED, False, None),
        (e.LeaseExpired, {"crashes": LIMIT - 2}, E.HAND_BACK, Verdict.CRASHED, False, None),
        (e.LeaseExpired, {"crashes": LIMIT - 1}, E.BURY, Verdict.POISON, False, REVIEW),
        (e.ProviderUnavailable, {"attempt": 2}, E.RETRY, Verdict.BACKOFF, True, None),
        (e.ProviderUnavailable, {"attempt": 3}, E.BURY, Verdict.BACKOFF, True, REVIEW),
        (e.ProviderUnavailable, {"crashes": 9, "snoozes": 9}, E.RETRY, Verdict.BACKOFF, True, None),
        (e.StepError, {}, E.RETRY, Verdict.UNCLASSIFIED, True, None),
        (e.ProviderRejected, {}, E.BURY, Verdict.PERMANENT, True, REVIEW),
        (e.EffectUnknown, {}, E.BURY, Verdict.UNKNOWN_EFFECT, True, REVIEW),
        (e.BudgetExceeded, {}, E.SNOOZE, Verdict.BUDGET, False, None),
    ],
)
def test_how_each_kind_of_failure_is_settled(
    error: type[e.StepError],
    counters: dict[str, Any],
    event: StepEvent,
    verdict: Verdict,
    *,
    spent: bool,
    run: RunEvent | None,
) -> None:
    done = failed(claim(**counters), make(error), POLICY, jitter=0.5)
    assert (done.event, done.verdict, done.spent) == (event, verdict, spent)
    assert (done.run and done.run.event) == run
    assert done.crashed is (error is e.LeaseExpired)
    assert done.snoozed is (event is E.SNOOZE)


@pytest.mark.parametrize("rescue", [True, False])
def test_only_a_rescue_asks_whether_the_lease_has_ended(*, rescue: bool) -> None:
    assert fail(e.LeaseExpired("x"), rescue=rescue).expired_only is rescue


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (e.ProviderRateLimited("x", retry_after=30.0), 30.5),
        (e.ToolRetry(after=30), 30.0),
        (e.ToolRetry(), 1.0),
        (e.ProviderRateLimited("x", retry_after=float("nan")), 1.0),
        (e.ProviderRateLimited("x", retry_after=float("inf")), 1.0),
    ],
)
def test_the_word_of_a_server_or_tool_decides_when_it_is_a_number(error: e.StepError, delay: float) -> None:
    assert fail(error).delay == delay


def test_attributes_of_foreign_exceptions_are_not_taken_for_ours() -> None:
    class Foreign(Exception):  # as other libraries have them
        retry_after, request_id, detail = "Wed, 21 Oct 2026 07:28:00 GMT", object(), object()

    done = fail(Foreign("x"))
    assert (done.delay, done.request_id) == (1.0, None)
    assert "detail" not in json.loads(done.error or "")


def test_the_request_id_that_the_providers_support_asks_for_is_kept() -> None:
    assert fail(e.ProviderUnavailable("x", request_id="req_1")).request_id == "req_1"


@given(texts, st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), evidence, max_size=3))
@example("\udc80\x00", {"name": "\udc80\x00"})
@example("", {"number": float("nan"), "bound": [float("-inf")]})
def test_any_error_can_be_written_down_and_read_by_a_strict_parser(message: str, detail: dict[str, Any]) -> None:
    detail.pop("message", None)
    text = json.dumps(describe(e.StepError(message, **detail), Verdict.BACKOFF))
    assert "\\u0000" not in text.replace("\\\\", "")  # Postgres takes no NUL
    described = orjson.loads(text)
    assert described["class"] == "step_error"
    assert described["verdict"] == "backoff"
    assert set(described.get("detail", {})) == {key for key, value in detail.items() if value is not None}


def test_a_plain_error_is_told_in_full() -> None:
    error = e.ProviderRejected("né", status=400, error_type="invalid_request_error")
    assert describe(error, Verdict.PERMANENT) == {
        "class": "provider_rejected",
        "verdict": "permanent",
        "message": "né",
        "detail": {"status": 400, "error_type": "invalid_request_error"},
    }


@given(st.integers(0, 3), st.sampled_from(['"', "é", "\\", "x"]))
def test_no_error_is_too_long_to_be_written_down(times: int, char: str) -> None:
    text = char * (MAX_ERROR_CHARS * 3 * times)
    described = describe(e.StepError(text, body=text, nested=[{"a": text}]), Verdict.BACKOFF)
    assert len(described["message"]) <= MAX_ERROR_CHARS
    assert len(json.dumps(described["detail"], ensure_ascii=False)) <= MAX_ERROR_CHARS * 4 * 2 + 20  # escaped once more


def test_an_error_without_words_is_called_by_its_class() -> None:
    assert describe(TimeoutError(), Verdict.UNCLASSIFIED)["message"] == "TimeoutError"


SAID, NEXT = Message(3, 0, "assistant", "[]"), NextStep(StepKind.TOOL, "look", 4)
SPENT = Usage(10, 20, 30, 40, Decimal("0.5"))


@pytest.mark.parametrize(
    ("plan", "run", "steps", "types"),
    [
        (Continue((NEXT,), (SAID,)), None, (NEXT,), ["step.succeeded"]),
        (Finish('"ok"', (SAID,)), RunEvent.SUCCEED, (), ["step.succeeded", "run.succeeded"]),
        (GiveUp("refusal", "no", (SAID,)), RunEvent.FAIL, (), ["step.succeeded", "run.failed"]),
    ],
)
def test_a_success_writes_its_plan(
    plan: Continue | Finish | GiveUp, run: RunEvent | None, steps: tuple[NextStep, ...], types: list[str]
) -> None:
    done = succeeded(claim(), plan, usage=SPENT, usage_raw='{"raw":1}', request_id="req_1")
    assert (done.step_id, done.run_id, done.fence) == ("step-1", "run-1", 7)
    assert (done.event, done.state, done.spent) == (StepEvent.SUCCEED, StepState.SUCCEEDED, True)
    assert (done.run and done.run.event) == run
    assert (done.messages, done.steps) == ((SAID,), steps)
    assert (done.usage, done.usage_raw, done.request_id) == (SPENT, '{"raw":1}', "req_1")
    assert [event.type for event in done.events] == types
    assert (done.verdict, done.error, done.delay, done.blocked_on) == (None, None, None, None)


def test_the_end_of_a_run_carries_its_output_or_its_reason() -> None:
    finished, given_up = (succeeded(claim(), plan).run for plan in (Finish('{"a": 1}'), GiveUp("refusal", "no")))
    assert finished is not None
    assert finished.output == '{"a": 1}'
    assert given_up is not None
    assert json.loads(given_up.error or "") == {"class": "refusal", "message": "no"}


def test_a_model_call_tells_its_cost_and_a_tool_call_counts_as_one() -> None:
    reason = succeeded(claim(), Continue((NEXT,)), usage=SPENT)
    tool = succeeded(claim(StepKind.TOOL), Continue((NEXT,)))
    told = json.loads(reason.events[0].data)
    assert (told["input_tokens"], told["output_tokens"], told["cost_usd"]) == (10, 20, "0.5")
    assert "cost_usd" not in json.loads(tool.events[0].data)
    assert (reason.tool_calls, tool.tool_calls) == (0, 1)
    assert tool.usage == Usage()


@given(failures)
def test_what_is_buried_has_a_fingerprint_and_nothing_else_has_one(done: Settlement) -> None:
    assert (done.fingerprint is not None) == (done.event is StepEvent.BURY)


def test_an_answer_that_broke_off_counts_with_what_it_cost() -> None:
    error = e.ProviderUnavailable("the stream broke", usage={"input_tokens": 900, "output_tokens": 1})
    error.usage = Usage(900, 1, cost_usd=Decimal("0.0018"))
    done = fail(error)
    assert (done.usage, json.loads(done.usage_raw or "")) == (error.usage, {"input_tokens": 900, "output_tokens": 1})
    assert done.prompt_tokens is None  # the next prompt does not begin with half an answer


def test_an_error_without_an_answer_costs_nothing() -> None:
    done = fail(e.ProviderUnavailable("no connection"))
    assert (done.usage, done.usage_raw) == (Usage(), None)
