"""THE table from what the provider says when it refuses to our error: status, type and code in, class out.

The words are those of https://platform.claude.com/docs/en/api/errors. The code is looked at before the class: a spend
cap is a 429 that lasts until somebody acts, and inside a stream every error has the status 200.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from agentfleet.domain.errors import (
    ProviderError,
    ProviderModelUnknown,
    ProviderOverloaded,
    ProviderParked,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTooLarge,
    ProviderUnavailable,
)
from agentfleet.provider.redact import redact
from agentfleet.provider.retry_after import retry_after

PARKING_CODES = ("enforced_spend_limit_reached", "contract_spend_limit_reached", "organization_on_hold")
PARKING_CODE_PREFIX = "linked_organization_"
PARKING_MESSAGES = ("You have reached your specified", "Your credit balance is too low")
TOO_LARGE_MESSAGES = ("prompt is too long", "exceed context limit")
MODEL_MESSAGE = "model:"
"""Known by their words only: the service gives these no code."""

REMEDIES: Mapping[type[ProviderError], str] = MappingProxyType(
    {
        ProviderTooLarge: "begin again with less, let tools answer with less, or take a model with a larger context",
        ProviderModelUnknown: "give the agent another model; a run keeps the one that it began with",
        ProviderParked: "see to the account: its runs wait and go on by themselves",
    }
)
"""What a human can do about it, for the error's text."""

BY_STATUS: Mapping[int, type[ProviderError]] = MappingProxyType(
    {
        401: ProviderParked,
        402: ProviderParked,
        403: ProviderParked,
        408: ProviderUnavailable,
        409: ProviderUnavailable,
        413: ProviderTooLarge,
        429: ProviderRateLimited,
        529: ProviderOverloaded,
    }
)
BY_HUNDRED: Mapping[int, type[ProviderError]] = MappingProxyType({4: ProviderRejected, 5: ProviderUnavailable})
"""The other statuses. About those in neither table nobody has thought."""

BY_TYPE: Mapping[str, type[ProviderError]] = MappingProxyType(
    {
        "api_error": ProviderUnavailable,
        "authentication_error": ProviderParked,
        "billing_error": ProviderParked,
        "conflict_error": ProviderUnavailable,
        "invalid_request_error": ProviderRejected,
        "not_found_error": ProviderRejected,
        "overloaded_error": ProviderOverloaded,
        "permission_error": ProviderParked,
        "rate_limit_error": ProviderRateLimited,
        "request_too_large": ProviderTooLarge,
        "timeout_error": ProviderUnavailable,
    }
)
"""For errors inside a stream. One without a type is unavailable, nobody has thought about the others."""


def refused(status: int, body: object, headers: Mapping[str, str]) -> ProviderError:
    """The error for an error answer, or for an error event (``status`` 200). ``body`` is parsed JSON, or text."""
    error = _field(body, "error")
    kind = _text(_field(error, "type"))
    code = _text(_field(_field(error, "details"), "error_code"))
    said = _text(_field(error, "message")) or _page(body)
    wait = retry_after(headers)
    cls = _class(status, kind, code, said, headers.get("x-should-retry"), wait)
    remedy = f" ({REMEDIES[cls]})" if cls in REMEDIES else ""
    return cls(
        redact(f"{status} {kind or 'error'}: {said or 'no message'}") + remedy,
        status=status,
        error_type=kind,
        error_code=code,
        request_id=headers.get("request-id") or _text(_field(body, "request_id")),
        retry_after=wait,
    )


def _class(
    status: int, kind: str | None, code: str | None, said: str | None, should_retry: str | None, wait: float | None
) -> type[ProviderError]:
    cls = _by_words(_by_kind(status, kind), kind, code, said or "")
    if cls in REMEDIES:
        return cls  # a human has to act, whatever the headers say
    if should_retry == "false":
        return ProviderRejected
    if cls is ProviderRejected and should_retry == "true":
        return ProviderUnavailable
    if cls is ProviderUnavailable and wait is not None:
        return ProviderRateLimited  # told when to come back: that is a refusal, which costs no attempt
    if cls is ProviderUnavailable and status == 503 and code is None:
        return ProviderOverloaded  # unavailable to all: it passes, and five attempts would not outlast it
    return cls


def _by_kind(status: int, kind: str | None) -> type[ProviderError]:
    if status == 200:
        return ProviderUnavailable if kind is None else BY_TYPE.get(kind, ProviderError)
    if kind == "billing_error":
        return ProviderParked
    return BY_STATUS.get(status) or BY_HUNDRED.get(status // 100, ProviderError)


def _by_words(cls: type[ProviderError], kind: str | None, code: str | None, said: str) -> type[ProviderError]:
    """``cls``, unless the code or the message says more than status and type."""
    if code in PARKING_CODES or (code or "").startswith(PARKING_CODE_PREFIX) or said.startswith(PARKING_MESSAGES):
        return ProviderParked
    if cls is ProviderRejected and any(words in said for words in TOO_LARGE_MESSAGES):
        return ProviderTooLarge
    if cls is ProviderRejected and kind == "not_found_error" and said.startswith(MODEL_MESSAGE):
        return ProviderModelUnknown
    return cls


def _field(value: object, name: str) -> object:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _page(body: object) -> str | None:
    return body[:200] if isinstance(body, str) and body else None  # a gateway's HTML page: its title is enough
