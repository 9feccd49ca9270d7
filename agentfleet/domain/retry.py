"""Retry is arithmetic: a verdict and some counters in, a decision out. No clock, no randomness.

The curve in words: after the first failure up to 2 s, then up to 4, 8, 16 ... seconds, never more than 10 minutes,
each drawn uniformly from zero to the bound ("full jitter", as in the AWS Architecture Blog, "Exponential Backoff And
Jitter", 2015), so that a thousand steps that failed together do not come back together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agentfleet.domain.model import StepKind
from agentfleet.domain.verdicts import Verdict

POISON_AFTER: Mapping[StepKind, int] = MappingProxyType({StepKind.TOOL: 3, StepKind.REASON: 10})
"""Crashes of the same step after which the step, not the machine, is taken to be the cause. A model call runs none of
your code, so machines have to die very often before it is suspected.
"""
BEYOND_DOUBT = 3
"""Times as many crashes after which a step is buried even if others may be to blame: somebody must look."""
APART = 1.5
"""Seconds between the returns of steps that died together again: longer than it takes to promote and to claim one."""
FARTHEST = 4
"""Returns apart; whoever is less suspect comes with the last, so that nobody waits much longer than six seconds."""
PARKED_PROBE_SECONDS = 300.0
"""A parked account is probed this often: a human has to act first, and each probe may be refused."""
UNSERVICEABLE_CAP_SECONDS = 60.0
"""Soon after a deploy that can run them, all steps go on; until then each look costs one claim."""
OVERLOADED_CAP_SECONDS = 60.0
"""Overload passes within minutes; waiting longer than this only adds latency."""
BUDGET_CAP_SECONDS = 30.0
"""Room that is only held for calls under way comes back with the first that ends."""
UNTIL_RAISED_SECONDS = 365 * 86_400.0
"""A run at its own ceiling goes on when somebody raises it, which makes its steps due."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a step is tried again. Seconds."""

    max_attempts: int = 5
    base: float = 2.0
    cap: float = 600.0

    def delay(self, failures: int, jitter: float) -> float:
        """Seconds to wait after ``failures`` (>= 1) failures; ``jitter`` is uniform in [0, 1)."""
        exponent = min(max(failures, 1) - 1, 63)  # beyond 2**63 the cap has long decided, and floats overflow
        return jitter * min(self.base * 2.0**exponent, self.cap)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again in ``seconds``; an attempt is spent."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SnoozeFor:
    """Try again in ``seconds``; no attempt is spent. The run is ``blocked_on`` it."""

    seconds: float
    blocked_on: str


@dataclass(frozen=True, slots=True)
class HandBack:
    """Make it ready at once, for another worker; no attempt is spent."""


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up: a dead letter, and the run needs review."""

    verdict: Verdict


RetryDecision = RetryAfter | SnoozeFor | HandBack | Bury


@dataclass(frozen=True, slots=True)
class Company:
    """The other tool steps that ran in a dead worker and, like this one, had crashed before: one may have killed it."""

    size: int = 0
    likelier: int = 0
    """How many crashed more often, or as often and were claimed later: what kills tends to do so soon."""
    tied: bool = False
    """Another one was claimed in the same instant."""
    quick: bool = True
    """The worker died before this step's first heartbeat."""


ALONE = Company()


def decide(  # noqa: C901, PLR0911, PLR0913  # one return per verdict: it reads as a table
    verdict: Verdict,
    policy: RetryPolicy,
    *,
    kind: StepKind,
    attempt: int,
    snoozes: int,
    crashes: int,
    jitter: float,
    retry_after: float | None = None,
    company: Company = ALONE,
) -> RetryDecision:
    """What to do about a failed attempt.

    ``attempt`` counts the attempts spent including this one (>= 1), ``snoozes`` the waits so far, ``crashes`` the
    crashes including this one; ``jitter`` is uniform in [0, 1); ``retry_after`` is the server's word in seconds;
    ``company`` is who else may have caused a crash.
    """
    match verdict:
        case Verdict.RETRY_AT:
            patience = policy.delay(snoozes + 1, jitter)
            return SnoozeFor(patience if retry_after is None else max(retry_after, 0.0) + jitter, "provider")
        case Verdict.OVERLOADED:
            return SnoozeFor(
                max(retry_after or 0.0, min(policy.delay(snoozes + 1, jitter), OVERLOADED_CAP_SECONDS)), "provider"
            )
        case Verdict.PARK:
            return SnoozeFor(PARKED_PROBE_SECONDS * (1.0 + jitter), "provider")
        case Verdict.UNSERVICEABLE:
            return SnoozeFor(min(policy.delay(snoozes + 1, jitter), UNSERVICEABLE_CAP_SECONDS), "deploy")
        case Verdict.BACKOFF | Verdict.UNCLASSIFIED:
            if attempt >= policy.max_attempts:
                return Bury(verdict)
            return RetryAfter(max(policy.delay(attempt, jitter), retry_after or 0.0))
        case Verdict.CRASHED:
            return _crashed(crashes, POISON_AFTER[kind], company)
        case Verdict.INTERRUPTED:
            return HandBack()
        case Verdict.BUDGET:
            patience = min(policy.delay(snoozes + 1, jitter), BUDGET_CAP_SECONDS)
            return SnoozeFor(
                (UNTIL_RAISED_SECONDS if retry_after is None else max(retry_after, 0.0)) + patience, "budget"
            )
        case Verdict.PERMANENT | Verdict.UNKNOWN_EFFECT | Verdict.POISON:
            return Bury(verdict)


def _crashed(crashes: int, limit: int, company: Company) -> RetryDecision:
    """A step that died ``limit`` times is poison, if it was alone or the likeliest to blame. Those that die together
    again come back one after the other, the likeliest first, so that the next death tells more.
    """
    blamed = company.size == 0 or (company.likelier == 0 and not company.tied and company.quick)
    if (blamed and crashes >= limit) or crashes >= BEYOND_DOUBT * limit:
        return Bury(Verdict.POISON)
    return HandBack() if company.size == 0 else SnoozeFor(APART * min(company.likelier, FARTHEST), "timer")
