"""The menu of things that go wrong: name -> what happens. POST /sim/faults and /s/<name>/v1 take these names.

Five kinds. An Answer replaces the whole HTTP answer. A Lost call breaks before the response headers. A Break happens
in the middle of the stream. A Drip lets the call succeed, slowly. A Bend lets it succeed and changes what is said.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agentfleet.simulator import bends
from agentfleet.simulator.turn import Turn

HTML = "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
JSON, SSE, HTML_TYPE = "application/json", "text/event-stream; charset=utf-8", "text/html"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. Without `raw` it is the service's JSON error; with it, those bytes as `content_type`."""

    status: int
    message: str = "Simulated fault"
    error_code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: str | None = None
    raw_stream: str | None = None  # what a streaming call gets instead of `raw`
    content_type: str = JSON
    retry_in: float | None = None  # sends retry-after as an HTTP date, or a reset header, this many seconds ahead
    retry_style: Literal["date", "reset"] = "date"


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing comes back: the connection is reset, or it stalls. `paid` when the model had answered by then."""

    how: Literal["reset", "stall"]
    paid: bool = False


@dataclass(frozen=True, slots=True)
class Break:
    """The stream breaks half way, or before it begins (`mute`).

    `error` also names the HTTP status that a call without streaming gets.
    """

    how: Literal["error", "mute", "reset", "stall", "truncate", "unknown_event"]
    error: str = ""
    status: int = 500


@dataclass(frozen=True, slots=True)
class Drip:
    """The call succeeds, with `seconds` before every event of its answer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Bend:
    """The call succeeds, but the model says something else."""

    change: Callable[[Turn], Turn]


Deed: TypeAlias = Answer | Lost | Break | Drip | Bend


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the menu."""

    name: str
    says: str
    does: Deed


def _spend(status: int, code: str, message: str) -> Answer:
    return Answer(status, message, error_code=code)


_ROWS: tuple[tuple[str, str, Deed], ...] = (
    # 429: the service asks for time
    ("rate_limited", "429 with retry-after: 2", Answer(429, headers={"retry-after": "2"})),
    ("rate_limited_bare", "429 that does not say when to come back", Answer(429)),
    ("rate_limited_ms", "429 with retry-after-ms: 1500", Answer(429, headers={"retry-after-ms": "1500"})),
    ("rate_limited_date", "429 whose retry-after is an HTTP date 30 s ahead", Answer(429, retry_in=30)),
    ("rate_limited_hour", "429 with retry-after: 3600", Answer(429, headers={"retry-after": "3600"})),
    (
        "rate_limited_reset",
        "429 with only a reset header: no input tokens left for 20 s",
        Answer(429, retry_in=20, retry_style="reset"),
    ),
    (
        "ramp_limit_exceeded",
        "429 because usage grows too fast, retry-after: 5",
        Answer(429, "Usage is growing too fast", "ramp_limit_exceeded", {"retry-after": "5"}),
    ),
    # the account cannot pay or may not call
    (
        "enforced_spend_limit_reached",
        "429 until next month: the tier's monthly spend cap; no retry-after",
        _spend(429, "enforced_spend_limit_reached", "This organization has reached its monthly API usage threshold."),
    ),
    (
        "contract_spend_limit_reached",
        "429: the contract's spend cap; no retry-after",
        _spend(429, "contract_spend_limit_reached", "This organization has reached its contract spend limit."),
    ),
    (
        "organization_on_hold",
        "400: the organization is on hold",
        _spend(400, "organization_on_hold", "This organization is on hold."),
    ),
    (
        "own_spend_limit",
        "400 known only by its message: the spend limit the customer set",
        Answer(400, "You have reached your specified API usage limits. You will regain access on 2026-12-01."),
    ),
    (
        "linked_organization_spend_limit_reached",
        "402: the paying organization reached its limit",
        _spend(402, "linked_organization_spend_limit_reached", "The linked organization reached its spend limit."),
    ),
    ("unauthorized", "401: the key is not valid", Answer(401, "invalid x-api-key")),
    ("payment_required", "402: billing problem", Answer(402, "There is an issue with your billing information.")),
    ("forbidden", "403: the key may not use this", Answer(403, "Your API key does not have permission.")),
    # the request is wrong
    ("invalid_request", "400: the request is malformed", Answer(400, "messages: Field required")),
    (
        "prompt_too_long",
        "400: the prompt is longer than the model's context window",
        Answer(400, "prompt is too long: 1043210 tokens > 1000000 maximum"),
    ),
    ("model_not_found", "404: no such model", Answer(404, "model: claude-unknown")),
    ("request_too_large", "413: the body is too large", Answer(413, "Request exceeds the maximum size")),
    ("unprocessable", "422: understood and refused", Answer(422, "Unprocessable request")),
    # the service is unwell
    ("request_timeout", "408: the service waited too long for the request", Answer(408, "Request timed out")),
    ("conflict", "409: conflict with another request", Answer(409, "Conflict")),
    ("server_error", "500 with a JSON body", Answer(500, "Internal server error")),
    ("server_error_html", "500 with an HTML body", Answer(500, raw=HTML, content_type=HTML_TYPE)),
    ("server_error_empty", "500 with no body", Answer(500, raw="")),
    ("bad_gateway", "502 from a proxy, HTML body", Answer(502, raw=HTML, content_type=HTML_TYPE)),
    ("unavailable", "503: unavailable", Answer(503, "Service unavailable")),
    ("unavailable_retry_after", "503 with retry-after: 3", Answer(503, headers={"retry-after": "3"})),
    ("gateway_timeout", "504: gateway timeout", Answer(504, "Gateway timeout")),
    ("overloaded", "529: overloaded, never a retry-after", Answer(529, "Overloaded")),
    ("should_retry", "400 with x-should-retry: true", Answer(400, headers={"x-should-retry": "true"})),
    ("should_not_retry", "529 with x-should-retry: false", Answer(529, headers={"x-should-retry": "false"})),
    # a 200 that is not an answer
    ("empty_200", "200 with no body", Answer(200, raw="", raw_stream="", content_type=SSE)),
    ("html_200", "200 with an HTML page, as a captive portal sends", Answer(200, raw=HTML, content_type=HTML_TYPE)),
    ("missing_fields", "200 with a message that lacks its fields", Answer(200, raw='{"type":"message"}')),
    (
        "truncated_json",
        "200 whose JSON stops in the middle",
        Answer(
            200,
            raw='{"id":"msg_0","type":"message","content":[{"type":"te',
            raw_stream='event: message_start\ndata: {"type":"message_start","mess\n\n',
        ),
    ),
    # the connection is lost
    ("reset_before_headers", "connection reset before the answer starts", Lost("reset")),
    ("stall_before_headers", "nothing is sent until the client gives up", Lost("stall")),
    ("lost_answer", "the model answered and was paid, then the connection was reset", Lost("reset", paid=True)),
    ("stall_after_headers", "200 and its headers, and then nothing until the client gives up", Break("mute")),
    ("stream_overloaded", "overloaded_error event in the stream", Break("error", "overloaded_error", 529)),
    ("stream_api_error", "api_error event in the stream", Break("error", "api_error", 500)),
    ("stream_rate_limited", "rate_limit_error event in the stream", Break("error", "rate_limit_error", 429)),
    ("stream_timeout", "timeout_error event in the stream", Break("error", "timeout_error", 504)),
    ("stream_invalid_request", "invalid_request_error event", Break("error", "invalid_request_error", 400)),
    ("stream_reset", "connection reset in the middle of the stream", Break("reset")),
    ("stream_stall", "the stream stops and stays open", Break("stall")),
    ("stream_truncated", "the stream ends cleanly without message_stop", Break("truncate")),
    ("unknown_event", "an event type nobody knows in the middle of a good stream", Break("unknown_event")),
    ("stream_drip", "a good answer, with half a second before each of its events", Drip(0.5)),
    # the answer is whole and odd
    ("max_tokens", "the text is cut by max_tokens", Bend(bends.cut_text)),
    ("max_tokens_in_tool", "max_tokens in the middle of a tool call's JSON", Bend(bends.cut_tool)),
    ("context_window_exceeded", "cut by the context window", Bend(bends.exceed_context)),
    ("refusal", "the model refuses, with stop_details", Bend(bends.refuse)),
    ("pause_turn", "a server tool pauses the turn", Bend(bends.pause)),
    ("empty_turn", "end_turn with no content", Bend(bends.say_nothing)),
    ("unknown_block", "a content block type nobody knows", Bend(bends.add_hologram)),
    ("unknown_stop_reason", "a stop reason nobody knows", Bend(bends.stop_oddly)),
    ("unknown_tool", "a call of a tool that was not offered", Bend(bends.call_unknown_tool)),
    ("bad_tool_input", "tool arguments that break their schema", Bend(bends.break_arguments)),
    ("bad_output", "a final text that is not the JSON asked for", Bend(bends.break_output)),
)

MENU: Mapping[str, Fault] = {name: Fault(name=name, says=says, does=does) for name, says, does in _ROWS}
