"""What became of attempts and runs, as counters."""

from prometheus_client import REGISTRY

from agentfleet.domain import errors as e
from agentfleet.domain.model import Settlement, StepKind
from agentfleet.domain.plan import Finish
from agentfleet.domain.settlement import failed, succeeded
from agentfleet.domain.states import RunState
from agentfleet.engine import tally
from tests.unit.domain.test_settlement import POLICY, claim

CLAIM = claim()


def counted(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"agentfleet_{name}_total", labels)


def fail(error: BaseException) -> Settlement:
    return failed(CLAIM, error, POLICY, jitter=0.5)


def test_waiting_is_no_error_of_an_attempt():
    def attempts(outcome: str) -> float:
        return counted("steps", pool="default", kind="reason", outcome=outcome) or 0

    before = {outcome: attempts(outcome) for outcome in ("ok", "waited", "model_error", "infra_error")}
    for done in (
        succeeded(CLAIM, Finish('"x"', ())),
        fail(e.ProviderBusy("full", retry_after=1)),
        fail(e.ProviderUnavailable("500")),
        fail(e.WorkerStopping("deploy")),
    ):
        tally.attempt_ended(CLAIM, done)
    assert [attempts(outcome) - count for outcome, count in before.items()] == [1, 1, 1, 1]


def test_a_run_that_fails_is_counted_with_its_cause_from_zero_on():
    kind = StepKind.REASON
    tally.run_ended("tallied", kind, succeeded(CLAIM, Finish('"x"', ())))
    causes = ("model", "tool", "deadline", "infra")
    assert [counted("run_failures", agent="tallied", cause=cause) for cause in causes] == [0, 0, 0, 0]
    tally.run_ended("tallied", kind, fail(e.ProviderUnavailable("500")))  # it is tried again
    tally.run_ended("tallied", kind, fail(e.ProviderRejected("400")))
    tally.run_was_ended("tallied", RunState.EXPIRED)
    tally.run_was_ended("tallied", RunState.FAILED)  # a human discards what needed review
    tally.run_was_ended("tallied", RunState.CANCELLED)
    assert [counted("run_failures", agent="tallied", cause=cause) for cause in causes] == [1, 0, 1, 0]
    outcomes = ("succeeded", "needs_review", "expired", "failed", "cancelled")
    assert [counted("runs", agent="tallied", outcome=outcome) for outcome in outcomes] == [1] * 5
