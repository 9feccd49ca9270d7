"""Who is to blame for an attempt that did not succeed: an SLO of the fleet counts the fleet's own faults only."""

from enum import StrEnum

from agentfleet.domain.model import Settlement, StepKind
from agentfleet.domain.verdicts import Verdict


class Blame(StrEnum):
    """The `cause` of failed runs in the metrics, and with `_error` an `outcome` of steps."""

    MODEL = "model"
    """The provider did not answer, or what it said ended the run."""
    TOOL = "tool"
    """The users' code, a tool that kills its workers included."""
    DEADLINE = "deadline"
    """The run's time was over."""
    INFRA = "infra"
    """Ours: workers that died or were cut off, a deploy that lacks the agent, errors that nobody has thought of."""


ALWAYS_OURS = frozenset({Verdict.CRASHED, Verdict.INTERRUPTED, Verdict.UNSERVICEABLE})
OURS_UNLESS_A_TOOL = frozenset({Verdict.POISON, Verdict.UNCLASSIFIED})


def blame(settlement: Settlement, kind: StepKind) -> Blame:
    """Of an attempt at a step of this kind that did not succeed, or that ended its run as failed."""
    verdict = settlement.verdict
    cut_off_by_death = verdict == Verdict.UNKNOWN_EFFECT and settlement.expired_only
    if verdict in ALWAYS_OURS or cut_off_by_death or (verdict in OURS_UNLESS_A_TOOL and kind is not StepKind.TOOL):
        return Blame.INFRA
    return Blame.TOOL if kind is StepKind.TOOL else Blame.MODEL
