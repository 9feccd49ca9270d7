"""What the SDK and its transport can let out, as they make it."""

import json
import ssl

import aiohttp
import anthropic
import httpx2
import pytest

from agentfleet.domain import errors as e
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.provider.errors import translate

KEY = "sk-ant-test-0123456789abcdef"
REQUEST = httpx2.Request("POST", "http://provider/v1/messages", headers={"Authorization": f"Bearer {KEY}"})


def unsent(cause: BaseException | None) -> anthropic.APIConnectionError:
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


UNAVAILABLE = [
    anthropic.APITimeoutError(request=REQUEST),
    unsent(None),
    unsent(httpx2.ConnectError("refused")),
    unsent(httpx2.ReadError("reset")),
    unsent(aiohttp.ServerDisconnectedError()),
    unsent(OSError(24, "too many open files")),
    unsent(ssl.SSLCertVerificationError("expired")),
    httpx2.ReadTimeout("stall"),
    httpx2.RemoteProtocolError("dropped"),
    httpx2.DecodingError("gzip"),
    aiohttp.ClientPayloadError("cut"),
    ConnectionResetError("reset"),
    TimeoutError(),
    EOFError(),
    json.JSONDecodeError("Expecting value", "", 0),
    AssertionError(),
    IndexError("list index out of range"),
    KeyError("usage"),
    AttributeError("'NoneType' object has no attribute 'usage'"),
    TypeError("'NoneType' object is not subscriptable"),
    ValueError("Unable to parse tool parameter JSON from model"),
    RecursionError("maximum recursion depth exceeded"),
    anthropic.APIResponseValidationError(httpx2.Response(200, request=REQUEST), None),
]
REJECTED = [
    unsent(httpx2.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'")),
    unsent(httpx2.UnsupportedProtocol("Request URL is missing a protocol")),
    unsent(ValueError("Newline or carriage return in headers")),
    unsent(TypeError("Only str or bytes")),
    unsent(RuntimeError("Cannot send a request, as the client has been closed.")),
    unsent(RuntimeError("Session is closed")),
    unsent(RuntimeError("Event loop is closed")),
    RuntimeError("Cannot send a request, as the client has been closed."),
    TypeError('"Could not resolve authentication method. Expected one of api_key, ..."'),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    anthropic.AnthropicError("credentials file not found"),
]
UNKNOWN = [
    unsent(RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")),
    RuntimeError("new"),
]


@pytest.mark.parametrize(
    ("error", "cls", "verdict"),
    [
        *((error, e.ProviderUnavailable, Verdict.BACKOFF) for error in UNAVAILABLE),
        *((error, e.ProviderRejected, Verdict.PERMANENT) for error in REJECTED),
        *((error, e.ProviderError, Verdict.UNCLASSIFIED) for error in UNKNOWN),
    ],
    ids=repr,
)
def test_every_exception_has_its_error(error, cls, verdict):
    translated = translate(error)
    assert (type(translated), classify(translated)) == (cls, verdict)
    assert KEY not in str(translated) + repr(vars(translated))


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("overloaded_error", e.ProviderOverloaded),
        ("api_error", e.ProviderUnavailable),
        ("rate_limit_error", e.ProviderRateLimited),
    ],
)
def test_a_status_error_of_the_sdk_that_says_200_is_told_by_its_type(kind, cls):
    body = {"error": {"type": kind, "message": "m"}}
    response = httpx2.Response(200, request=REQUEST, headers={"request-id": "req_1"})
    translated = translate(anthropic.APIStatusError("m", response=response, body=body))
    assert type(translated) is cls
    assert isinstance(translated, e.ProviderError)
    assert translated.request_id == "req_1"


def test_our_own_errors_stay_as_they_are():
    ours = e.ProviderOverloaded("busy")
    assert translate(ours) is ours
