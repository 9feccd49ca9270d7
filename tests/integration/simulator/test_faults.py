"""Every row of the fault menu, through the SDK: what it raises or returns, by streaming and in one piece."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import anthropic
import httpx2
import pytest

from agentfleet.simulator.faults import MENU, Answer
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect
from tests.integration.simulator.talk import LOOK, ask, blocks, results, say

READ_TIMEOUT = 0.3  # of the stalls only; everything else answers at once


@dataclass(frozen=True)
class Raises:
    error: type[BaseException]
    status: int | None = None
    type: str | None = None
    code: str | None = None
    headers: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Returns:
    holds: Callable[[Any], bool]


Outcome = Raises | Returns


def status(error: type[anthropic.APIStatusError], http: int, kind: str | None, **more: Any) -> tuple[Outcome, Outcome]:
    """The same error both ways."""
    raises = Raises(error, http, kind, **more)
    return raises, raises


def in_stream(kind: str, whole: type[anthropic.APIStatusError], http: int) -> tuple[Outcome, Outcome]:
    """In a stream a bare status error that says 200; in one piece the error of its status."""
    return Raises(anthropic.APIStatusError, 200, kind), Raises(whole, http, kind)


def both(holds: Callable[[Any], bool]) -> tuple[Outcome, Outcome]:
    return Returns(holds), Returns(holds)


def stops(reason: str, *kinds: str) -> tuple[Outcome, Outcome]:
    return both(lambda message: (message.stop_reason, *(block.type for block in message.content)) == (reason, *kinds))


a = anthropic
RATE = "rate_limit_error"
EXPECTED: dict[str, tuple[Outcome, Outcome]] = {
    "rate_limited": status(a.RateLimitError, 429, RATE, headers=(("retry-after", "2"),)),
    "rate_limited_bare": status(a.RateLimitError, 429, RATE, headers=(("retry-after", None),)),
    "rate_limited_ms": status(a.RateLimitError, 429, RATE, headers=(("retry-after-ms", "1500"), ("retry-after", None))),
    "rate_limited_date": status(a.RateLimitError, 429, RATE),
    "rate_limited_hour": status(a.RateLimitError, 429, RATE, headers=(("retry-after", "3600"),)),
    "rate_limited_reset": status(
        a.RateLimitError,
        429,
        RATE,
        headers=(("retry-after", None), ("anthropic-ratelimit-input-tokens-remaining", "0")),
    ),
    "ramp_limit_exceeded": status(
        a.RampLimitExceededError, 429, RATE, code="ramp_limit_exceeded", headers=(("retry-after", "5"),)
    ),
    "enforced_spend_limit_reached": status(
        a.EnforcedSpendLimitReachedError,
        429,
        RATE,
        code="enforced_spend_limit_reached",
        headers=(("retry-after", None),),
    ),
    "contract_spend_limit_reached": status(
        a.ContractSpendLimitReachedError,
        429,
        RATE,
        code="contract_spend_limit_reached",
        headers=(("retry-after", None),),
    ),
    "organization_on_hold": status(
        a.OrganizationOnHoldError, 400, "invalid_request_error", code="organization_on_hold"
    ),
    "own_spend_limit": status(a.BadRequestError, 400, "invalid_request_error"),
    "linked_organization_spend_limit_reached": status(
        a.LinkedOrganizationSpendLimitReachedError,
        402,
        "billing_error",
        code="linked_organization_spend_limit_reached",
    ),
    "unauthorized": status(a.AuthenticationError, 401, "authentication_error"),
    "payment_required": status(a.PaymentRequiredError, 402, "billing_error"),
    "forbidden": status(a.PermissionDeniedError, 403, "permission_error"),
    "invalid_request": status(a.BadRequestError, 400, "invalid_request_error", headers=(("x-should-retry", None),)),
    "prompt_too_long": status(a.BadRequestError, 400, "invalid_request_error"),
    "model_not_found": status(a.NotFoundError, 404, "not_found_error"),
    "request_too_large": status(a.ContentTooLargeError, 413, "request_too_large"),
    "unprocessable": status(a.UnprocessableEntityError, 422, "invalid_request_error"),
    "request_timeout": status(a.RequestTimeoutError, 408, "timeout_error"),
    "conflict": status(a.ConflictError, 409, "conflict_error"),
    "server_error": status(a.InternalServerError, 500, "api_error", headers=(("x-should-retry", "true"),)),
    "server_error_html": status(a.InternalServerError, 500, None),
    "server_error_empty": status(a.InternalServerError, 500, None),
    "bad_gateway": status(a.InternalServerError, 502, None),
    "unavailable": status(a.ServiceUnavailableError, 503, "api_error"),
    "unavailable_retry_after": status(a.ServiceUnavailableError, 503, "api_error", headers=(("retry-after", "3"),)),
    "gateway_timeout": status(a.GatewayTimeoutError, 504, "timeout_error"),
    "overloaded": status(a.OverloadedError, 529, "overloaded_error", headers=(("retry-after", None),)),
    "should_retry": status(a.BadRequestError, 400, "invalid_request_error", headers=(("x-should-retry", "true"),)),
    "should_not_retry": status(a.OverloadedError, 529, "overloaded_error", headers=(("x-should-retry", "false"),)),
    "empty_200": (Raises(AssertionError), Raises(json.JSONDecodeError)),
    "html_200": (Raises(AssertionError), Returns(lambda said: isinstance(said, str))),
    "missing_fields": (Raises(AssertionError), Returns(lambda said: said.id is None and said.usage is None)),
    "truncated_json": (Raises(json.JSONDecodeError), Raises(json.JSONDecodeError)),
    "reset_before_headers": (Raises(a.APIConnectionError), Raises(a.APIConnectionError)),
    "stall_before_headers": (Raises(a.APITimeoutError), Raises(a.APITimeoutError)),
    "lost_answer": (Raises(a.APIConnectionError), Raises(a.APIConnectionError)),
    "stall_after_headers": (Raises(httpx2.ReadTimeout), Raises(a.APITimeoutError)),
    "stream_overloaded": in_stream("overloaded_error", a.OverloadedError, 529),
    "stream_api_error": in_stream("api_error", a.InternalServerError, 500),
    "stream_rate_limited": in_stream(RATE, a.RateLimitError, 429),
    "stream_timeout": in_stream("timeout_error", a.GatewayTimeoutError, 504),
    "stream_invalid_request": in_stream("invalid_request_error", a.BadRequestError, 400),
    "stream_reset": (Raises(httpx2.TransportError), Raises(a.APIConnectionError)),
    "stream_stall": (Raises(httpx2.ReadTimeout), Raises(a.APITimeoutError)),
    "stream_truncated": (Returns(lambda said: said.stop_reason is None), Raises(json.JSONDecodeError)),
    "unknown_event": stops("end_turn", "text"),
    "stream_drip": stops("end_turn", "text"),
    "max_tokens": stops("max_tokens", "text"),
    "max_tokens_in_tool": stops("max_tokens", "tool_use"),
    "context_window_exceeded": stops("model_context_window_exceeded", "text"),
    "refusal": both(lambda said: said.stop_reason == "refusal" and said.stop_details.category == "cyber"),
    "pause_turn": stops("pause_turn", "text", "server_tool_use"),
    "empty_turn": stops("end_turn"),
    "unknown_block": stops("end_turn", "hologram", "text"),
    "unknown_stop_reason": stops("stargazing", "text"),
    "unknown_tool": both(lambda said: said.content[0].name == "no_such_tool"),
    "bad_tool_input": stops("end_turn", "text"),
    "bad_output": both(lambda said: said.content[0].text.endswith("{")),
}


def test_every_fault_of_the_menu_has_an_expectation() -> None:
    assert set(EXPECTED) == set(MENU)


@pytest.mark.parametrize("name", list(MENU))
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_sdk_sees_the_fault(sim: Running, connect: Connect, name: str, stream: bool) -> None:
    timeout = READ_TIMEOUT if "stall" in name else 30
    client = connect(f"{sim.url}/s/{name}", timeout=timeout, _strict_response_validation=False)
    match EXPECTED[name][0 if stream else 1]:
        case Returns(holds=holds):
            assert holds(await say(client, stream=stream, **ask()))
        case Raises() as expected:
            with pytest.raises(expected.error) as raised:
                await say(client, stream=stream, **ask())
            _check(raised.value, expected)
    assert [entry.fault for entry in sim.simulator.log.entries] == [name]


def _check(error: BaseException, expected: Raises) -> None:
    if expected.status is None:
        return
    assert type(error) is expected.error
    assert isinstance(error, anthropic.APIStatusError)
    assert error.status_code == expected.status
    assert (error.type, error.error_code) == (expected.type, expected.code)
    assert error.request_id
    if isinstance(error.body, dict):
        assert error.body["request_id"] == error.request_id
    for name, value in expected.headers:
        assert error.response.headers.get(name) == value


async def test_a_rate_limit_date_lies_ahead(sim: Running, connect: Connect) -> None:
    client = connect(f"{sim.url}/s/rate_limited_date")
    with pytest.raises(anthropic.RateLimitError) as raised:
        await say(client, **ask())
    headers = raised.value.response.headers
    ahead = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    assert 28 <= ahead.total_seconds() <= 31


async def test_the_own_spend_limit_is_known_by_its_message(sim: Running, connect: Connect) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        await say(connect(f"{sim.url}/s/own_spend_limit"), **ask())
    assert str(raised.value.api_message).startswith("You have reached your specified")


async def test_a_cut_tool_call_looks_whole_to_the_sdk(sim: Running, connect: Connect) -> None:
    message = await say(connect(f"{sim.url}/s/max_tokens_in_tool"), **ask())
    assert message.content[0].input == {"path": "notes.txt"}, "the half sentence has vanished without an error"


async def test_a_fault_that_calls_tools_can_strike_twice_in_one_conversation(sim: Running, connect: Connect) -> None:
    client = connect(f"{sim.url}/s/unknown_tool")
    request = ask(tools=[LOOK])
    for _ in range(2):
        message = await say(client, **request)
        turn = {"role": "assistant", "content": blocks(message)}
        request["messages"] = [*request["messages"], turn, results(message, lambda *_: "no such tool")]
    assert (await say(client, **request)).stop_reason == "tool_use"


async def test_bad_tool_input_breaks_the_arguments_of_a_call(sim: Running, connect: Connect) -> None:
    message = await say(connect(f"{sim.url}/s/bad_tool_input"), **ask(tools=[LOOK]))
    assert message.content[0].input == {"unexpected": ["simulated"]}


async def test_a_lost_answer_was_paid_for_and_a_lost_request_was_not(sim: Running, connect: Connect) -> None:
    for name in ("lost_answer", "reset_before_headers"):
        with pytest.raises(anthropic.APIConnectionError):
            await say(connect(f"{sim.url}/s/{name}"), **ask())
    assert [entry.paid for entry in sim.simulator.log.entries] == [True, False]


async def test_a_broken_stream_shows_its_input_usage_first(sim: Running, connect: Connect) -> None:
    seen: list[Any] = []

    async def listen() -> None:
        async with connect(f"{sim.url}/s/stream_overloaded").messages.stream(**ask()) as stream:
            async for event in stream:
                seen.append(event)  # noqa: PERF401  # a comprehension would lose what came before the error

    with pytest.raises(anthropic.APIStatusError):
        await listen()
    assert seen[0].message.usage.input_tokens > 0
    assert "text" in {event.type for event in seen}


@pytest.mark.parametrize("path", ["models", "count_tokens"])
async def test_answers_of_the_menu_reach_the_other_endpoints(sim: Running, connect: Connect, path: str) -> None:
    client = connect(f"{sim.url}/s/overloaded")
    counted = {"model": "claude-opus-5", "messages": ask()["messages"]}
    call = client.models.list if path == "models" else partial(client.messages.count_tokens, **counted)
    with pytest.raises(anthropic.OverloadedError):
        await call()


async def test_an_unknown_scenario_is_a_404(sim: Running, connect: Connect) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no fault named 'nonsense'"):
        await say(connect(f"{sim.url}/s/nonsense"), **ask())


def test_every_row_says_what_it_does_in_one_line() -> None:
    assert all(fault.says and "\n" not in fault.says and fault.name == name for name, fault in MENU.items())
    assert len({fault.says for fault in MENU.values()}) == len(MENU)


def test_no_overload_or_spend_cap_says_when_to_retry() -> None:
    for name in ("overloaded", "enforced_spend_limit_reached", "contract_spend_limit_reached"):
        deed = MENU[name].does
        assert isinstance(deed, Answer)
        assert "retry-after" not in deed.headers
