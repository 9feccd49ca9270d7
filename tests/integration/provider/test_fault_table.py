"""Every row of the simulator's fault menu, through the real SDK: our error, its verdict and what follows, or the turn
and what the agent loop makes of it.
"""

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from agentfleet.domain import errors as e
from agentfleet.domain.budget import Budget, Progress
from agentfleet.domain.model import StepKind
from agentfleet.domain.plan import Continue, Finish, GiveUp, Invalid, LoopState, Rules, Valid, after_reason
from agentfleet.domain.retry import Bury, RetryAfter, RetryDecision, RetryPolicy, SnoozeFor, decide
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.simulator.faults import MENU
from agentfleet.simulator.serve import Running
from tests.integration.provider.conftest import KEY, Connect
from tests.integration.provider.talk import ask

PATIENCE = {"first_byte": 0.3, "idle": 0.3}


@dataclass(frozen=True)
class Fails:
    error: type[e.ProviderError]
    verdict: Verdict
    status: int | None = None
    type: str | None = None
    code: str | None = None
    retry_after: tuple[float, float] | None = None
    """Between these seconds; ``None`` when the provider does not say."""
    traced: bool = True
    """Whether the answer's headers arrived, and with them the request id."""


@dataclass(frozen=True)
class Turns:
    stop_reason: str
    then: str
    """What the loop does: ``finish``, ``tools``, ``reason`` (again, with the words), or the reason why it gives up."""
    words: str = ""
    calls: tuple[str, ...] = ()


FOLLOWS: dict[Verdict, type[RetryDecision]] = {
    Verdict.RETRY_AT: SnoozeFor,
    Verdict.OVERLOADED: SnoozeFor,
    Verdict.PARK: SnoozeFor,
    Verdict.BACKOFF: RetryAfter,
    Verdict.PERMANENT: Bury,
}


def check_output(text: str) -> Valid | Invalid:
    """As for an agent that answers in plain words: half a document is none."""
    return Invalid("half a document") if text.endswith("{") else Valid(text)


RULES = Rules("claude-sonnet-5-5", Budget(), {}, check_output)


def decision(verdict: Verdict) -> RetryDecision:
    """What follows from the first failure of a model call."""
    return decide(verdict, RetryPolicy(), kind=StepKind.REASON, attempt=1, snoozes=0, crashes=0, jitter=0.5)


def limited(seconds: tuple[float, float] | None, status: int = 429, **more: Any) -> Fails:
    kind = {429: "rate_limit_error", 503: "api_error", 200: "rate_limit_error"}[status]
    return Fails(e.ProviderRateLimited, Verdict.RETRY_AT, status, kind, retry_after=seconds, **more)


def broken(status: int | None = None, kind: str | None = None, **more: Any) -> Fails:
    return Fails(e.ProviderUnavailable, Verdict.BACKOFF, status, kind, **more)


def parked(status: int, kind: str, code: str | None = None) -> Fails:
    return Fails(e.ProviderParked, Verdict.PARK, status, kind, code)


def rejected(status: int, kind: str, error: type[e.ProviderError] = e.ProviderRejected) -> Fails:
    return Fails(error, Verdict.PERMANENT, status, kind)


def overloaded(status: int, kind: str = "overloaded_error") -> Fails:
    return Fails(e.ProviderOverloaded, Verdict.OVERLOADED, status, kind)


EXPECTED: dict[str, Fails | Turns] = {
    "rate_limited": limited((2, 2)),
    "rate_limited_bare": limited(None),
    "rate_limited_ms": limited((1.5, 1.5)),
    "rate_limited_date": limited((28, 31)),
    "rate_limited_hour": limited((3600, 3600)),
    "rate_limited_reset": limited((18, 21)),
    "ramp_limit_exceeded": limited((5, 5), code="ramp_limit_exceeded"),
    "enforced_spend_limit_reached": parked(429, "rate_limit_error", "enforced_spend_limit_reached"),
    "contract_spend_limit_reached": parked(429, "rate_limit_error", "contract_spend_limit_reached"),
    "organization_on_hold": parked(400, "invalid_request_error", "organization_on_hold"),
    "own_spend_limit": parked(400, "invalid_request_error"),
    "linked_organization_spend_limit_reached": parked(402, "billing_error", "linked_organization_spend_limit_reached"),
    "unauthorized": parked(401, "authentication_error"),
    "payment_required": parked(402, "billing_error"),
    "forbidden": parked(403, "permission_error"),
    "invalid_request": rejected(400, "invalid_request_error"),
    "prompt_too_long": rejected(400, "invalid_request_error", e.ProviderTooLarge),
    "model_not_found": rejected(404, "not_found_error", e.ProviderModelUnknown),
    "request_too_large": rejected(413, "request_too_large", e.ProviderTooLarge),
    "unprocessable": rejected(422, "invalid_request_error"),
    "request_timeout": broken(408, "timeout_error"),
    "conflict": broken(409, "conflict_error"),
    "server_error": broken(500, "api_error"),
    "server_error_html": broken(500),
    "server_error_empty": broken(500),
    "bad_gateway": broken(502),
    "unavailable": overloaded(503, "api_error"),
    "unavailable_retry_after": limited((3, 3), 503),
    "gateway_timeout": broken(504, "timeout_error"),
    "overloaded": overloaded(529),
    "should_retry": broken(400, "invalid_request_error"),
    "should_not_retry": rejected(529, "overloaded_error"),
    "empty_200": broken(),
    "html_200": broken(),
    "missing_fields": broken(),
    "truncated_json": broken(),
    "reset_before_headers": broken(traced=False),
    "stall_before_headers": broken(traced=False),
    "lost_answer": broken(traced=False),
    "stall_after_headers": broken(),
    "stream_overloaded": overloaded(200),
    "stream_api_error": broken(200, "api_error"),
    "stream_rate_limited": limited(None, 200),
    "stream_timeout": broken(200, "timeout_error"),
    "stream_invalid_request": rejected(200, "invalid_request_error"),
    "stream_reset": broken(),
    "stream_stall": broken(),
    "stream_truncated": broken(),
    "unknown_event": Turns("end_turn", "finish"),
    "stream_drip": Turns("end_turn", "finish"),
    "max_tokens": Turns("max_tokens", "reason"),
    "max_tokens_in_tool": Turns("max_tokens", "reason"),
    "context_window_exceeded": Turns("model_context_window_exceeded", "context_window", "begin again with less"),
    "refusal": Turns("refusal", "refusal", "(category: cyber)"),
    "pause_turn": Turns("pause_turn", "reason"),
    "empty_turn": Turns("end_turn", "reason", "Continue."),
    "unknown_block": Turns("end_turn", "finish"),
    "unknown_stop_reason": Turns("stargazing", "unknown_stop_reason", "'stargazing'"),
    "unknown_tool": Turns("tool_use", "tools", calls=("no_such_tool",)),
    "bad_tool_input": Turns("end_turn", "finish"),
    "bad_output": Turns("end_turn", "reason", "That answer is not valid"),
}


def test_every_fault_of_the_menu_has_an_expectation():
    assert set(EXPECTED) == set(MENU)


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if isinstance(expected, Fails)])
async def test_a_fault_becomes_our_error_with_its_verdict_and_without_the_key(
    sim: Running, connect: Connect, name: str
):
    expected = EXPECTED[name]
    assert isinstance(expected, Fails)
    reasoner = connect(f"{sim.url}/s/{name}", **(PATIENCE if "stall" in name else {}))
    with pytest.raises(e.ProviderError) as caught:
        await reasoner.reason(ask(), None)
    error = caught.value
    assert (type(error), classify(error)) == (expected.error, expected.verdict)
    assert type(decision(expected.verdict)) is FOLLOWS[expected.verdict]
    assert (error.status, error.error_type, error.error_code) == (expected.status, expected.type, expected.code)
    if expected.retry_after is None:
        assert error.retry_after is None
    else:
        assert error.retry_after is not None
        assert expected.retry_after[0] <= error.retry_after <= expected.retry_after[1]
    (entry,) = sim.simulator.log.entries
    assert error.request_id == (entry.id if expected.traced else None)
    assert error.detail.get("request_id") == error.request_id
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (str(error), repr(error), repr(error.detail), repr(vars(error))):
        assert KEY not in text
    assert KEY.encode() not in pickle.dumps(vars(error))


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if isinstance(expected, Turns)])
async def test_an_odd_but_whole_answer_is_a_turn_of_which_the_loop_makes_what_it_means(
    sim: Running, connect: Connect, name: str
):
    expected = EXPECTED[name]
    assert isinstance(expected, Turns)
    reasoned = await connect(f"{sim.url}/s/{name}").reason(ask(), None)
    assert reasoned.turn.stop_reason == expected.stop_reason
    assert tuple(use.name for use in reasoned.turn.tool_uses) == expected.calls
    assert reasoned.request_id == sim.simulator.log.entries[0].id
    match after_reason(1, reasoned.turn, LoopState(), Progress(steps=1), RULES):
        case Continue(steps, messages):
            assert expected.then == ("tools" if steps[0].kind is StepKind.TOOL else "reason")
            said = "".join(message.content for message in messages)
        case Finish(output):
            assert expected.then == "finish"
            said = output
        case GiveUp(kind, reason):
            assert expected.then == kind
            said = reason
    assert expected.words in said


async def test_nothing_is_tried_again_in_process(sim: Running, connect: Connect):
    for name in ("overloaded", "rate_limited", "server_error", "reset_before_headers"):
        with pytest.raises(e.ProviderError):
            await connect(f"{sim.url}/s/{name}").reason(ask(), None)
    assert [entry.attempt for entry in sim.simulator.log.entries] == [0, 0, 0, 0]


async def test_a_lost_stream_tells_the_least_that_it_cost(sim: Running, connect: Connect):
    with pytest.raises(e.ProviderUnavailable) as caught:
        await connect(f"{sim.url}/s/stream_reset").reason(ask(), None)
    assert caught.value.detail["usage"]["input_tokens"] > 0
