"""What came out of the SDK, translated: THE mapping from exceptions to ``domain.errors``.

Not everything that the SDK lets out is one of its own errors. Broken streams raise what the transport raises, malformed
ones whatever a parser trips over, and our own mistakes (a closed client, an illegal header) come dressed as connection
errors. The exception itself must not be kept: it holds its request, and the request holds the API key.
"""

from functools import cache

from agentfleet.domain.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable, StepError
from agentfleet.provider.limits import NoneFree, TooSlow
from agentfleet.provider.redact import redact
from agentfleet.provider.refusals import refused

Row = tuple[tuple[type[BaseException], ...], type[ProviderError], str]

_NEVER_LEFT = (
    "Could not resolve authentication",
    "client has been closed",
    "Session is closed",
    "Event loop is closed",
)
"""Words of a TypeError or RuntimeError under which no call could leave this process."""


def translate(error: Exception) -> StepError:
    """Our error for ``error``; one that nobody has thought about becomes a plain ``ProviderError``."""
    import anthropic

    if isinstance(error, StepError):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return refused(error.status_code, error.body, error.response.headers)
    unsent = isinstance(error, anthropic.APIConnectionError)  # wraps whatever is raised before the answer's headers
    cause = (error.__cause__ or error) if unsent else error
    cls, what = _diagnosis(cause, unsent=unsent)
    return cls(redact(f"{what}: {type(cause).__name__}: {cause}"))


def _diagnosis(cause: BaseException, *, unsent: bool) -> tuple[type[ProviderError], str]:
    if isinstance(cause, TypeError | RuntimeError) and any(words in str(cause) for words in _NEVER_LEFT):
        return ProviderRejected, "the client cannot send"
    for kinds, cls, what in _rows(unsent=unsent):
        if isinstance(cause, kinds):
            return cls, what
    return ProviderError, "unexpected"


@cache
def _rows(*, unsent: bool) -> tuple[Row, ...]:
    """The first row that fits holds."""
    import aiohttp
    import anthropic
    import httpx2

    misused = (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.InvalidURL, UnicodeEncodeError)
    transport = (httpx2.HTTPError, aiohttp.ClientError, OSError, EOFError)  # OSError: timeouts and TLS, too
    ours = (ValueError, TypeError) if unsent else ()
    malformed = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
    return (
        ((NoneFree,), ProviderBusy, "not sent"),
        ((TooSlow,), ProviderUnavailable, "cut off"),
        (misused, ProviderRejected, "the client is misconfigured"),
        (transport, ProviderUnavailable, "the connection broke"),
        (ours, ProviderRejected, "the request is malformed"),
        ((anthropic.APIConnectionError,), ProviderUnavailable, "no connection"),
        ((anthropic.APIResponseValidationError,), ProviderUnavailable, "the answer is malformed"),
        ((anthropic.AnthropicError,), ProviderRejected, "the client is misconfigured"),
        (malformed, ProviderUnavailable, "the answer is malformed"),
    )
