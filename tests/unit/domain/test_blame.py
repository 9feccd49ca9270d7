"""Whose fault it was: the fleet's own objective counts its own faults only."""

import pytest

from agentfleet.domain import errors as e
from agentfleet.domain.blame import Blame, blame
from agentfleet.domain.model import StepKind
from agentfleet.domain.plan import GiveUp
from agentfleet.domain.retry import POISON_AFTER
from agentfleet.domain.settlement import failed, succeeded
from tests.unit.domain.test_settlement import POLICY, claim

REASON, TOOL = StepKind.REASON, StepKind.TOOL
MODEL, INFRA = Blame.MODEL, Blame.INFRA


@pytest.mark.parametrize(
    ("error", "of_a_model_call", "of_a_tool_call"),
    [
        (e.ProviderUnavailable("500"), MODEL, Blame.TOOL),
        (e.ProviderRejected("400"), MODEL, Blame.TOOL),
        (e.StepTimeout("slow"), MODEL, Blame.TOOL),
        (e.ToolRetry("later"), MODEL, Blame.TOOL),
        (e.EffectUnknown("cut off by an error of its own"), MODEL, Blame.TOOL),
        (ValueError("a surprise"), INFRA, Blame.TOOL),
        (e.WorkerStopping("a deploy"), INFRA, INFRA),
        (e.Unserviceable("no such agent"), INFRA, INFRA),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_the_models_the_tools_or_ours(error, of_a_model_call, of_a_tool_call):
    for kind, expected in ((REASON, of_a_model_call), (TOOL, of_a_tool_call)):
        assert blame(failed(claim(kind), error, POLICY, jitter=0.5), kind) is expected


@pytest.mark.parametrize(("kind", "expected"), [(REASON, INFRA), (TOOL, Blame.TOOL)])
def test_who_kills_every_worker_is_to_blame_if_it_is_a_tool(kind, expected):
    died = failed(claim(kind, crashes=POISON_AFTER[kind] - 1), e.LeaseExpired("died"), POLICY, jitter=0.5, rescue=True)
    assert died.run_state == "needs_review"
    assert blame(died, kind) is expected


def test_a_death_under_an_unsafe_tool_is_ours():
    lost = failed(claim(TOOL), e.EffectUnknown("its worker died"), POLICY, jitter=0.5, rescue=True)
    assert blame(lost, TOOL) is INFRA


def test_what_the_model_says_is_the_models():
    assert blame(succeeded(claim(), GiveUp("refusal", "no", ())), REASON) is MODEL
