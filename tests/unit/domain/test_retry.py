import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.model import StepKind
from agentfleet.domain.retry import (
    OVERLOADED_CAP_SECONDS,
    PARKED_PROBE_SECONDS,
    POISON_AFTER,
    Bury,
    Company,
    HandBack,
    RetryAfter,
    RetryDecision,
    RetryPolicy,
    SnoozeFor,
    decide,
)
from agentfleet.domain.verdicts import Verdict

V = Verdict
FREE = (V.RETRY_AT, V.OVERLOADED, V.PARK, V.UNSERVICEABLE, V.INTERRUPTED, V.CRASHED)
OBEYING = (V.RETRY_AT, V.OVERLOADED, V.BACKOFF, V.UNCLASSIFIED)

policies = st.builds(
    RetryPolicy, max_attempts=st.integers(1, 50), base=st.floats(1e-3, 1e300), cap=st.floats(1e-3, 1e7)
)
counters = st.integers(0, 50) | st.integers(0, 10**400)
jitters = st.floats(0.0, 1.0, exclude_max=True)
waits = st.none() | st.floats(-1e9, 1e9)


def bound(policy: RetryPolicy, failures: int) -> float:
    """The curve of the module's docstring, spelled the slow way: doubled step by step until the cap decides."""
    seconds = policy.base
    for _ in range(failures - 1):
        if seconds >= policy.cap:
            break
        seconds *= 2
    return min(seconds, policy.cap)


@given(policies, st.integers(1, 60), jitters)
def test_a_delay_is_drawn_from_zero_to_the_bound(policy: RetryPolicy, failures: int, jitter: float) -> None:
    delay = policy.delay(failures, jitter)
    assert 0.0 <= delay <= bound(policy, failures) <= policy.cap
    assert delay == pytest.approx(jitter * bound(policy, failures))


@given(policies, counters, jitters)
def test_no_counter_is_too_large_for_a_delay(policy: RetryPolicy, failures: int, jitter: float) -> None:
    delay = policy.delay(failures, jitter)
    assert math.isfinite(delay)
    assert 0.0 <= delay <= policy.cap


@given(policies, counters, jitters)
def test_patience_never_shrinks(policy: RetryPolicy, failures: int, jitter: float) -> None:
    assert policy.delay(failures, jitter) <= policy.delay(failures + 1, jitter)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 2), (2, 4), (3, 8), (4, 16), (8, 256), (9, 512), (10, 600), (11, 600), (64, 600), (65, 600), (2**70, 600)],
)
def test_the_default_bounds_double_from_2_s_and_stop_at_10_min(failures: int, seconds: float) -> None:
    assert RetryPolicy().delay(failures, 0.5) == seconds / 2


def test_a_step_that_has_not_failed_waits_like_one_that_failed_once() -> None:
    assert RetryPolicy().delay(0, 0.5) == RetryPolicy().delay(-3, 0.5) == 1.0


REASON, TOOL = StepKind.REASON, StepKind.TOOL
POLICY = RetryPolicy(max_attempts=3, base=2.0, cap=600.0)


@pytest.mark.parametrize(
    ("verdict", "facts", "expected"),
    [
        (V.RETRY_AT, {"retry_after": 7.0}, SnoozeFor(7.5, "provider")),
        (V.RETRY_AT, {"retry_after": 0.0}, SnoozeFor(0.5, "provider")),
        (V.RETRY_AT, {"retry_after": -9.0}, SnoozeFor(0.5, "provider")),
        (V.RETRY_AT, {}, SnoozeFor(1.0, "provider")),
        (V.RETRY_AT, {"snoozes": 3}, SnoozeFor(8.0, "provider")),
        (V.RETRY_AT, {"attempt": 99, "snoozes": 99}, SnoozeFor(300.0, "provider")),
        (V.OVERLOADED, {}, SnoozeFor(1.0, "provider")),
        (V.OVERLOADED, {"snoozes": 3}, SnoozeFor(8.0, "provider")),
        (V.OVERLOADED, {"snoozes": 99}, SnoozeFor(60.0, "provider")),
        (V.OVERLOADED, {"retry_after": 90.0}, SnoozeFor(90.0, "provider")),
        (V.OVERLOADED, {"attempt": 99}, SnoozeFor(1.0, "provider")),
        (V.PARK, {}, SnoozeFor(450.0, "provider")),
        (V.PARK, {"attempt": 99, "snoozes": 99}, SnoozeFor(450.0, "provider")),
        (V.UNSERVICEABLE, {}, SnoozeFor(1.0, "deploy")),
        (V.UNSERVICEABLE, {"attempt": 99, "snoozes": 99}, SnoozeFor(60.0, "deploy")),
        (V.BACKOFF, {}, RetryAfter(1.0)),
        (V.BACKOFF, {"attempt": 2}, RetryAfter(2.0)),
        (V.BACKOFF, {"attempt": 2, "snoozes": 50}, RetryAfter(2.0)),
        (V.BACKOFF, {"retry_after": 30.0}, RetryAfter(30.0)),
        (V.BACKOFF, {"attempt": 3}, Bury(V.BACKOFF)),
        (V.BACKOFF, {"attempt": 3, "retry_after": 30.0}, Bury(V.BACKOFF)),
        (V.UNCLASSIFIED, {}, RetryAfter(1.0)),
        (V.UNCLASSIFIED, {"attempt": 3}, Bury(V.UNCLASSIFIED)),
        (V.CRASHED, {"crashes": 1}, HandBack()),
        (V.CRASHED, {"crashes": 2, "attempt": 99}, HandBack()),
        (V.CRASHED, {"crashes": 3}, Bury(V.POISON)),
        (V.CRASHED, {"crashes": 9, "kind": REASON}, HandBack()),
        (V.CRASHED, {"crashes": 10, "kind": REASON}, Bury(V.POISON)),
        (V.CRASHED, {"crashes": 2, "company": Company(5, 0)}, SnoozeFor(0.0, "timer")),
        (V.CRASHED, {"crashes": 2, "company": Company(5, 2)}, SnoozeFor(3.0, "timer")),
        (V.CRASHED, {"crashes": 2, "company": Company(500, 99)}, SnoozeFor(6.0, "timer")),
        (V.CRASHED, {"crashes": 3, "company": Company(5, 0)}, Bury(V.POISON)),
        (V.CRASHED, {"crashes": 3, "company": Company(5, 0, tied=True)}, SnoozeFor(0.0, "timer")),
        (V.CRASHED, {"crashes": 3, "company": Company(5, 0, quick=False)}, SnoozeFor(0.0, "timer")),
        (V.CRASHED, {"crashes": 8, "company": Company(5, 1)}, SnoozeFor(1.5, "timer")),
        (V.CRASHED, {"crashes": 9, "company": Company(5, 1)}, Bury(V.POISON)),
        (V.INTERRUPTED, {"attempt": 99, "crashes": 99, "snoozes": 99}, HandBack()),
        (V.BUDGET, {}, SnoozeFor(365 * 86_400 + 1.0, "budget")),
        (V.BUDGET, {"attempt": 99, "snoozes": 99}, SnoozeFor(365 * 86_400 + 30.0, "budget")),
        (V.BUDGET, {"retry_after": 3_600.0}, SnoozeFor(3_601.0, "budget")),
        (V.BUDGET, {"retry_after": 0.0, "snoozes": 99}, SnoozeFor(30.0, "budget")),
        (V.PERMANENT, {}, Bury(V.PERMANENT)),
        (V.UNKNOWN_EFFECT, {}, Bury(V.UNKNOWN_EFFECT)),
        (V.POISON, {}, Bury(V.POISON)),
    ],
)
def test_what_follows_from_a_verdict(verdict: Verdict, facts: dict[str, float], expected: RetryDecision) -> None:
    given_facts = {"kind": TOOL, "attempt": 1, "snoozes": 0, "crashes": 0, "jitter": 0.5, **facts}
    assert decide(verdict, POLICY, **given_facts) == expected  # pyright: ignore[reportArgumentType]  # a table of keywords


@given(st.sampled_from(Verdict), policies, counters, counters, counters, jitters, waits)
def test_every_verdict_leads_to_a_decision_that_can_be_written_down(
    verdict: Verdict, policy: RetryPolicy, attempt: int, snoozes: int, crashes: int, jitter: float, wait: float | None
) -> None:
    decision = decide(
        verdict, policy, kind=TOOL, attempt=attempt, snoozes=snoozes, crashes=crashes, jitter=jitter, retry_after=wait
    )
    assert isinstance(decision, RetryDecision)
    if isinstance(decision, RetryAfter | SnoozeFor):
        assert math.isfinite(decision.seconds)
        assert decision.seconds >= 0.0


@given(st.sampled_from(FREE), policies, counters, counters, counters, jitters, waits)
def test_waiting_and_dying_workers_cost_no_attempt(
    verdict: Verdict, policy: RetryPolicy, attempt: int, snoozes: int, crashes: int, jitter: float, wait: float | None
) -> None:
    decision = decide(
        verdict, policy, kind=TOOL, attempt=attempt, snoozes=snoozes, crashes=crashes, jitter=jitter, retry_after=wait
    )
    if verdict is V.CRASHED and crashes >= POISON_AFTER[TOOL]:
        assert decision == Bury(V.POISON)
    else:
        assert isinstance(decision, SnoozeFor | HandBack)


@given(st.sampled_from([V.BACKOFF, V.UNCLASSIFIED]), policies, counters, counters, jitters, waits)
def test_a_broken_step_is_buried_exactly_when_its_attempts_are_spent(
    verdict: Verdict, policy: RetryPolicy, attempt: int, other: int, jitter: float, wait: float | None
) -> None:
    decision = decide(
        verdict, policy, kind=TOOL, attempt=attempt, snoozes=other, crashes=other, jitter=jitter, retry_after=wait
    )
    assert isinstance(decision, Bury) is (attempt >= policy.max_attempts)
    assert isinstance(decision, RetryAfter) is (attempt < policy.max_attempts)


@given(st.sampled_from(OBEYING), policies, counters, counters, jitters, st.floats(0.0, 1e9))
def test_a_step_never_comes_back_earlier_than_it_was_told(
    verdict: Verdict, policy: RetryPolicy, attempt: int, snoozes: int, jitter: float, wait: float
) -> None:
    decision = decide(
        verdict, policy, kind=TOOL, attempt=attempt, snoozes=snoozes, crashes=0, jitter=jitter, retry_after=wait
    )
    if not isinstance(decision, Bury):
        assert isinstance(decision, RetryAfter | SnoozeFor)
        assert decision.seconds >= wait


@given(policies, counters, jitters)
def test_overload_without_a_date_is_waited_out_within_its_own_cap(
    policy: RetryPolicy, snoozes: int, jitter: float
) -> None:
    decision = decide(V.OVERLOADED, policy, kind=TOOL, attempt=1, snoozes=snoozes, crashes=0, jitter=jitter)
    assert isinstance(decision, SnoozeFor)
    assert decision.seconds <= min(OVERLOADED_CAP_SECONDS, policy.cap)


@given(policies, counters, jitters, waits)
def test_a_parked_account_is_probed_at_a_slow_and_spread_pace(
    policy: RetryPolicy, snoozes: int, jitter: float, wait: float | None
) -> None:
    decision = decide(V.PARK, policy, kind=TOOL, attempt=1, snoozes=snoozes, crashes=0, jitter=jitter, retry_after=wait)
    assert isinstance(decision, SnoozeFor)
    assert PARKED_PROBE_SECONDS <= decision.seconds <= 2 * PARKED_PROBE_SECONDS


@given(policies, st.floats(0.0, 1e6), jitters, jitters)
def test_steps_refused_together_do_not_come_back_together(
    policy: RetryPolicy, wait: float, one: float, other: float
) -> None:
    first, second = (
        decide(V.RETRY_AT, policy, kind=TOOL, attempt=1, snoozes=0, crashes=0, jitter=jitter, retry_after=wait)
        for jitter in (one, other)
    )
    assert isinstance(first, SnoozeFor)
    assert isinstance(second, SnoozeFor)
    assert first.seconds - second.seconds == pytest.approx(one - other, abs=1e-6)
