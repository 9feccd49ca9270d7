"""Our exceptions. The class docstring is the message's meaning; ``verdicts.py`` alone says what to do about one.

::

    AgentFleetError
    ├─ IllegalTransition          a bug: the table has no such row
    ├─ InvalidInput               the caller's fault: which field, what was expected
    ├─ NotFound · Conflict        the caller asked for what is not there, or for what cannot be
    ├─ LeaseLost                  this worker no longer owns the step
    ├─ ArchiveFailed              what was to be kept cannot be stored or read
    └─ StepError                  everything that one attempt of a step can fail with
       ├─ ProviderError
       │  ├─ ProviderRateLimited  429: come back at ``retry_after``
       │  ├─ ProviderBusy         admission: no room in the bucket yet; nothing was sent
       │  ├─ ProviderOverloaded   529, 503, or overloaded inside a stream
       │  ├─ ProviderUnavailable  other 5xx, timeouts, broken or truncated streams
       │  ├─ ProviderParked       the account cannot be used: spend cap, credentials, permission
       │  ├─ ProviderTooLarge     413, or a prompt longer than the model's context window
       │  ├─ ProviderModelUnknown 404: no such model, or not for this account
       │  └─ ProviderRejected     the request itself is refused: other 4xx, client configuration
       ├─ ToolRetry               a tool asks to be tried again later
       ├─ StepTimeout             the step outlived its own time limit
       ├─ Unserviceable           this code cannot run the step: unknown agent, tool or bundle
       ├─ EffectUnknown           an unsafe tool was cut off: nobody knows whether it happened
       ├─ BudgetExceeded          the step does not fit into what a budget has left
       ├─ LeaseExpired            the worker died or was cut off; the reconciler took the step back
       └─ WorkerStopping          the worker is draining and hands the step back
"""

from typing import Any

from agentfleet.domain.admission import Need
from agentfleet.domain.budget import Usage


class AgentFleetError(Exception):
    """The root of everything agentfleet raises on purpose."""


class IllegalTransition(AgentFleetError):
    """The transition table has no such row."""

    def __init__(self, noun: str, state: str, event: str) -> None:
        super().__init__(f"a {noun} that is {state!r} has no event {event!r}")
        self.noun, self.state, self.event = noun, state, event


class InvalidInput(AgentFleetError):
    """The caller's fault: ``field`` (a JSON pointer or a parameter's name) is not what was expected."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field, self.problem = field, problem


class NotFound(AgentFleetError):
    """There is no such thing, or not for this tenant."""


class Conflict(AgentFleetError):
    """The thing is in a state that forbids this."""


class LeaseLost(AgentFleetError):
    """This worker no longer owns the step: its lease ended, or the run was cancelled."""


class ArchiveFailed(AgentFleetError):
    """The archive is not there, refuses, or has not stored what it was given."""


class StepError(AgentFleetError):
    """An attempt of a step failed. ``detail`` is JSON-safe evidence for humans; never secrets."""

    def __init__(self, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.detail: dict[str, Any] = {key: value for key, value in detail.items() if value is not None}


class ProviderError(StepError):
    """The model provider did not answer with a complete turn.

    ``status`` is the HTTP status (200 for an error inside a stream), ``error_type`` and ``error_code`` are the
    provider's words, ``request_id`` is what its support asks for, ``retry_after`` is in seconds. ``need``, where it is
    known, is what the step has to be admitted for when it comes back. ``usage``, where the answer had begun, is the
    least that it has cost; ``detail["usage"]`` is what the provider had said of it.
    """

    need: Need | None = None
    usage: Usage | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_type: str | None = None,
        error_code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        **detail: Any,
    ) -> None:
        super().__init__(
            message,
            status=status,
            error_type=error_type,
            error_code=error_code,
            request_id=request_id,
            retry_after=retry_after,
            **detail,
        )
        self.status, self.error_type, self.error_code = status, error_type, error_code
        self.request_id, self.retry_after = request_id, retry_after


class ProviderRateLimited(ProviderError):
    """429: the bucket is empty; come back after ``retry_after`` seconds."""


class ProviderBusy(ProviderError):
    """Admission: the bucket has no room for the call before ``retry_after`` seconds have passed. Nothing was sent."""


class ProviderOverloaded(ProviderError):
    """529, 503 or ``overloaded_error`` inside a stream: nothing to obey but patience."""


class ProviderUnavailable(ProviderError):
    """The provider or the way to it is broken: 408, 409, other 5xx, connection errors, stalls, truncated streams."""


class ProviderParked(ProviderError):
    """The account cannot be used until a human acts: spend cap, 401, 402, 403, organization on hold."""


class ProviderTooLarge(ProviderError):
    """The request does not fit: 413, or a prompt that is longer than the model's context window."""


class ProviderModelUnknown(ProviderError):
    """There is no such model (any more), or not for this account: 404."""


class ProviderRejected(ProviderError):
    """This request will never be accepted: other 4xx, or a client that is not configured."""


class ToolRetry(StepError):
    """Raised by a tool to be tried again later, spending an attempt."""

    def __init__(self, message: str = "the tool asked to be tried again", *, after: float | None = None) -> None:
        super().__init__(message, retry_after=after)
        self.retry_after = after


class StepTimeout(StepError):
    """The step outlived its own time limit."""


class Unserviceable(StepError):
    """This deployment cannot run the step: its agent, tool or bundle is unknown here."""


class EffectUnknown(StepError):
    """A tool with effect ``unsafe`` was cut off; whether it happened is for a human to find out."""


class BudgetExceeded(StepError):
    """The worst case of a step is more than a budget has left; ``detail`` says which, and what is missing.

    ``retry_after`` is in seconds; ``None``: there is no room until somebody raises the budget.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **detail: Any) -> None:
        super().__init__(message, retry_after=retry_after, **detail)
        self.retry_after = retry_after


class LeaseExpired(StepError):
    """The worker died or was cut off; its lease ended and the reconciler took the step back."""


class WorkerStopping(StepError):
    """The worker drains: the step is handed back and costs no attempt."""
