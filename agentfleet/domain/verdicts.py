"""THE table: what kind of failure an error is. ``retry.py`` says what follows from a verdict."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from agentfleet.domain import errors as e


class Verdict(StrEnum):
    """What kind of failure it is."""

    RETRY_AT = "retry_at"
    """The provider's bucket is empty and says until when. Costs no attempt."""
    BACKOFF = "backoff"
    """Something is broken that may heal. Costs an attempt."""
    OVERLOADED = "overloaded"
    """The provider is overloaded. Costs no attempt."""
    PARK = "park"
    """The account cannot be used until a human acts. Costs no attempt; the run stays resumable."""
    UNSERVICEABLE = "unserviceable"
    """The code that took the step lacks its agent or its tool: in a deploy other workers have it, after a bad one the
    next deploy has it again. Costs no attempt."""
    PERMANENT = "permanent"
    """Trying again cannot help: a dead letter."""
    UNKNOWN_EFFECT = "unknown_effect"
    """An unsafe effect may or may not have happened: a dead letter for a human, never a retry."""
    BUDGET = "budget"
    """A budget has no room for the step: it waits until there is. Costs no attempt."""
    CRASHED = "crashed"
    """The worker died under the step. Costs no attempt, but too many of them are poison."""
    POISON = "poison"
    """It crashed ``retry.POISON_AFTER`` workers: the step, not the machine, is the cause."""
    INTERRUPTED = "interrupted"
    """The worker handed the step back while stopping. Costs nothing."""
    UNCLASSIFIED = "unclassified"
    """Nobody has thought about this error yet: treated as backoff and counted."""


VERDICTS: Mapping[type[e.StepError], Verdict] = MappingProxyType(
    {
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
)


def classify(error: BaseException) -> Verdict:
    """The verdict of the nearest class in the table; anything else is ``UNCLASSIFIED``."""
    for cls in type(error).__mro__:
        if cls in VERDICTS:
            return VERDICTS[cls]
    return Verdict.UNCLASSIFIED
