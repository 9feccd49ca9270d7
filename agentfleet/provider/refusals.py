"""THE table from what the provider says when it refuses to our error: status, type and code in, class out.

The words are those of https://platform.claude.com/docs/en/api/errors. The code is looked at before the class: a spend
cap is a 429 that lasts until somebody acts, and inside a stream every error has the status 200.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from agentfleet.domain.errors import (
    ProviderError,
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from agentfleet.provider.redact import redact
from agentfleet.provider.retry_after import retry_after

PARKING_CODES = ("enforced_spend_limit_reached", "contract_spend_limit_reached", "organization_on_hold")
PARKING_CODE_PREFIX = "linked_organization_"
PARKING_MESSAGES = ("You have reached your specified", "Your credit balance is too low")
"""Known by their words only: the service gives these 400s no code."""

BY_STATUS: Mapping[int, type[ProviderError]] = MappingProxyType(
    {
        401: ProviderParked,
        402: ProviderParked,
        403: ProviderParked,
        408: ProviderUnavailable,
        409: ProviderUnavailable,
        429: ProviderRateLimited,
        529: ProviderOverloaded,
    }
)
"""Other 4xx are rejected, everything else is unavailable."""

BY_TYPE: Mapping[str, type[ProviderError]] = MappingProxyType(
    {
        "authentication_error": ProviderParked,
        "billing_error": ProviderParked,
        "invalid_request_error": ProviderRejected,
        "not_found_error": ProviderRejected,
        "overloaded_error": ProviderOverloaded,
        "permission_error": ProviderParked,
        "rate_limit_error": ProviderRateLimited,
        "request_too_large": ProviderRejected,
    }
)
"""For errors inside a stream; ``api_error``, ``timeout_error``, ``conflict_error`` and unknown ones are unavailable."""


def refused(status: int, body: object, headers: Mapping[str, str]) -> ProviderError:
    """The error for an error answer, or for an error event (``status`` 200). ``body`` is parsed JSON, or text."""
    error = _field(body, "error")
    kind = _text(_field(error, "type"))
    code = _text(_field(_field(error, "details"), "error_code"))
    said = _text(_field(error, "message")) or _page(body)
    wait = retry_after(headers)
    cls = _class(status, kind, code, said, headers.get("x-should-retry"), wait)
    return cls(
        redact(f"{status} {kind or 'error'}: {said or 'no message'}"),
        status=status,
        error_type=kind,
        error_code=code,
        request_id=headers.get("request-id") or _text(_field(body, "request_id")),
        retry_after=wait,
    )


def _class(
    status: int, kind: str | None, code: str | None, said: str | None, should_retry: str | None, wait: float | None
) -> type[ProviderError]:
    cls = _by_words(status, kind)
    if (
        code in PARKING_CODES
        or (code or "").startswith(PARKING_CODE_PREFIX)
        or (said or "").startswith(PARKING_MESSAGES)
    ):
        return ProviderParked
    if cls is ProviderParked:
        return cls
    if should_retry == "false":
        return ProviderRejected
    if cls is ProviderRejected and should_retry == "true":
        return ProviderUnavailable
    if cls is ProviderUnavailable and wait is not None:
        return ProviderRateLimited  # told when to come back: that is a refusal, which costs no attempt
    return cls


def _by_words(status: int, kind: str | None) -> type[ProviderError]:
    if status == 200:
        return BY_TYPE.get(kind or "", ProviderUnavailable)
    if kind == "billing_error":
        return ProviderParked
    return BY_STATUS.get(status, ProviderRejected if 400 <= status < 500 else ProviderUnavailable)


def _field(value: object, name: str) -> object:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _page(body: object) -> str | None:
    return body[:200] if isinstance(body, str) and body else None  # a gateway's HTML page: its title is enough
