from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain import errors as e
from agentfleet.domain.model import StepKind
from agentfleet.domain.retry import Bury, HandBack, RetryPolicy, SnoozeFor, decide
from agentfleet.domain.verdicts import VERDICTS, Verdict, classify

EXPECTED: dict[type[e.StepError], Verdict] = {
    e.ProviderRateLimited: Verdict.RETRY_AT,
    e.ProviderBusy: Verdict.RETRY_AT,
    e.ProviderOverloaded: Verdict.OVERLOADED,
    e.ProviderUnavailable: Verdict.BACKOFF,
    e.ProviderParked: Verdict.PARK,
    e.ProviderTooLarge: Verdict.PERMANENT,
    e.ProviderModelUnknown: Verdict.PERMANENT,
    e.ProviderRejected: Verdict.PERMANENT,
    e.ToolRetry: Verdict.BACKOFF,
    e.StepTimeout: Verdict.BACKOFF,
    e.Unserviceable: Verdict.UNSERVICEABLE,
    e.EffectUnknown: Verdict.UNKNOWN_EFFECT,
    e.BudgetExceeded: Verdict.BUDGET,
    e.LeaseExpired: Verdict.CRASHED,
    e.WorkerStopping: Verdict.INTERRUPTED,
}


def descendants(cls: type[Any]) -> Iterator[type[Any]]:
    for sub in cls.__subclasses__():
        if sub.__module__ == e.__name__:  # other tests derive classes of their own
            yield sub
            yield from descendants(sub)


STEP_ERRORS = [e.StepError, *descendants(e.StepError)]
LEAVES = [cls for cls in STEP_ERRORS if not any(descendants(cls))]
rows = st.sampled_from(sorted(VERDICTS, key=lambda cls: cls.__name__))


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_leaf_of_the_error_tree_has_its_verdict(leaf: type[e.StepError]) -> None:
    assert VERDICTS[leaf] is EXPECTED[leaf]
    assert classify(leaf("x")) is EXPECTED[leaf]


def test_the_table_holds_step_errors_only() -> None:
    assert set(VERDICTS) <= set(STEP_ERRORS)


def test_every_verdict_is_given_by_the_table_or_made_by_a_rule() -> None:
    # POISON is what too many crashes become, UNCLASSIFIED what the table does not know.
    assert set(VERDICTS.values()) == set(Verdict) - {Verdict.POISON, Verdict.UNCLASSIFIED}


@given(rows, st.integers(1, 5))
def test_a_subclass_has_the_verdict_of_its_nearest_ancestor(row: type[e.StepError], depth: int) -> None:
    cls = row
    for level in range(depth):
        cls = type(f"Derived{level}", (cls,), {})
    assert classify(cls("x")) is VERDICTS[row]


@given(rows, rows)
def test_of_two_parents_the_first_decides(first: type[e.StepError], second: type[e.StepError]) -> None:
    if first is not second:
        both = type("Both", (first, second), {})
        assert classify(both.__new__(both)) is VERDICTS[first]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        TimeoutError(),
        ExceptionGroup("x", [e.ToolRetry()]),
        KeyboardInterrupt(),
        e.StepError("x"),
        e.ProviderError("x"),
        e.AgentFleetError("x"),
        e.LeaseLost("x"),
        e.InvalidInput("x", "y"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unknown_exception_is_unclassified(error: BaseException) -> None:
    assert classify(error) is Verdict.UNCLASSIFIED


def test_a_cause_does_not_change_the_verdict() -> None:
    error = e.ProviderRejected("x")
    error.__cause__ = e.ProviderRateLimited("y")
    assert classify(error) is Verdict.PERMANENT


@pytest.mark.parametrize("refusal", [e.ProviderRateLimited, e.ProviderOverloaded, e.ProviderParked])
def test_a_provider_refusal_costs_no_attempt_and_drops_no_work(refusal: type[e.ProviderError]) -> None:
    verdict = classify(refusal("x"))
    decision = decide(
        verdict, RetryPolicy(), kind=StepKind.TOOL, attempt=10**6, snoozes=10**6, crashes=10**6, jitter=0.5
    )
    assert isinstance(decision, SnoozeFor)


def test_an_unknown_effect_is_never_tried_again() -> None:
    verdict = classify(e.EffectUnknown("x"))
    assert decide(verdict, RetryPolicy(), kind=StepKind.TOOL, attempt=1, snoozes=0, crashes=0, jitter=0.0) == Bury(
        Verdict.UNKNOWN_EFFECT
    )


def test_a_stopping_worker_hands_its_step_back() -> None:
    verdict = classify(e.WorkerStopping("x"))
    assert (
        decide(verdict, RetryPolicy(), kind=StepKind.TOOL, attempt=10**6, snoozes=0, crashes=0, jitter=0.0)
        == HandBack()
    )
