"""The checks a request must pass before anything is counted or answered. A failure is the service's own 400 or 404."""

import re
from collections.abc import Iterator
from typing import Any, cast

import orjson

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.models import ModelCard, callable_model
from agentfleet.simulator.prefix import as_blocks
from agentfleet.simulator.wire import Json

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
ROLES = frozenset({"user", "assistant", "system"})
MAX_BREAKPOINTS = 4
FIRST_BUDGET = 1024  # smallest thinking budget


def parse(raw: bytes, max_bytes: int) -> Json:
    """The request body as an object: 413 when too large, 400 when not JSON."""
    if len(raw) > max_bytes:
        raise ApiError(413, "Request exceeds the maximum size")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError.invalid(f"The request body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError.invalid("The request body is not a JSON object")
    return cast("Json", body)


def check_request(body: Json, *, counting: bool = False) -> ModelCard:
    """Check shape and rules; return the model's card. `counting` is count_tokens, which needs no `max_tokens`."""
    model = body.get("model")
    _require(isinstance(model, str) and model, "model: Field required")
    card = callable_model(str(model))
    if not counting:
        _check_max_tokens(body.get("max_tokens"), card)
    _check_messages(body.get("messages"))
    _check_tools(body, card)
    _check_thinking(body.get("thinking"), body.get("max_tokens"), card)
    _check_pairing(body["messages"])
    return card


def check_breakpoints(count: int) -> None:
    """At most four cache breakpoints."""
    _require(
        count <= MAX_BREAKPOINTS,
        f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {count}.",
    )


def _check_max_tokens(max_tokens: Any, card: ModelCard) -> None:
    _require(max_tokens is not None, "max_tokens: Field required")
    _require(isinstance(max_tokens, int) and max_tokens >= 0, "max_tokens: Input should be at least 0")
    _require(
        max_tokens <= card.max_tokens,
        f"max_tokens: {max_tokens} > {card.max_tokens}, which is the maximum allowed number of output tokens for "
        f"{card.id}",
    )


def _check_messages(messages: list[Json] | None) -> None:
    if not messages:
        raise ApiError.invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        _require(message.get("role") in ROLES, f"{where}.role: Unexpected role")
        content: Any = message.get("content")
        _require(isinstance(content, str | list), f"{where}.content: Field required")
        last = index == len(messages) - 1 and message["role"] == "assistant"
        _require(
            content or last,
            f"{where}: all messages must have non-empty content except for the optional final assistant message",
        )
        for position, block in enumerate(as_blocks(content)):
            _require(isinstance(block.get("type"), str), f"{where}.content.{position}.type: Field required")
            if block["type"] == "text":
                text: Any = block.get("text")
                _require(isinstance(text, str) and text, f"{where}: text content blocks must be non-empty")
    _require(messages[0]["role"] != "assistant", "messages: first message must use the user role")


def _check_tools(body: Json, card: ModelCard) -> None:
    seen: set[str] = set()
    tools: list[Json] = body.get("tools") or []
    for index, tool in enumerate(tools):
        name: Any = tool.get("name")
        _require(isinstance(name, str) and TOOL_NAME.match(name), f"tools.{index}.name: invalid tool name")
        _require(name not in seen, "tools: Tool names must be unique.")
        seen.add(name)
        if tool.get("type", "custom") == "custom":
            schema: Any = tool.get("input_schema")
            ok = isinstance(schema, dict) and cast("Json", schema).get("type") == "object"
            _require(ok, f"tools.{index}.custom.input_schema.type: Field required")
    choice: Json = body.get("tool_choice") or {}
    if choice.get("type") in {"any", "tool"}:
        _require(seen, "tool_choice: may only be specified while providing tools")
        _require(card.forced_tools, f"tool_choice: forcing tool use is not supported by {card.id}")
    if choice.get("type") == "tool":
        _require(choice.get("name") in seen, f"tool_choice: Tool '{choice.get('name')}' not found in provided tools")


def _check_thinking(thinking: Json | None, max_tokens: Any, card: ModelCard) -> None:
    if not thinking or thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    _require(card.budgeted_thinking, f'thinking: "enabled" is not supported by {card.id}; use "adaptive"')
    enough = isinstance(budget, int) and budget >= FIRST_BUDGET
    _require(enough, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    _require(max_tokens is None or max_tokens > budget, "`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_pairing(messages: list[Json]) -> None:
    """Every tool_use is answered exactly once, first thing in the next user turn, and nothing else is answered."""
    open_ids: set[str] = set()
    asked: set[str] = set()
    opened_at = 0
    for index, role, blocks in _turns(messages):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if role == "user":
            _check_results(index, results, open_ids)
        missing = open_ids - set(results)
        _require(
            not missing,
            f"messages.{opened_at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result` block in "
            "the next message.",
        )
        if open_ids:
            leading = [block["type"] for block in blocks[: len(results)]]
            _require(set(leading) == {"tool_result"}, f"messages.{index}: `tool_result` blocks must come first")
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
        _require(len(set(uses)) == len(uses) and asked.isdisjoint(uses), "messages: `tool_use` ids must be unique")
        asked.update(uses)
        open_ids, opened_at = set(uses), index
    _require(
        not open_ids,
        f"messages.{opened_at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(sorted(open_ids))}.",
    )


def _check_results(index: int, results: list[str], open_ids: set[str]) -> None:
    for id_ in results:
        _require(
            id_ in open_ids,
            f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. Each `tool_result` "
            "block must have a corresponding `tool_use` block in the previous message.",
        )
    _require(
        len(set(results)) == len(results),
        f"messages.{index}: each tool_use must have a single result. Found multiple `tool_result` blocks with one id.",
    )


def _turns(messages: list[Json]) -> Iterator[tuple[int, str, list[Json]]]:
    """Messages with neighbours of one role merged, as the service merges them: (index of the first, role, blocks)."""
    held: tuple[int, str, list[Json]] | None = None
    for index, message in enumerate(messages):
        blocks = as_blocks(message["content"])
        if held is not None and held[1] == message["role"]:
            held[2].extend(blocks)
            continue
        if held is not None:
            yield held
        held = (index, message["role"], blocks)
    if held is not None:
        yield held


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise ApiError.invalid(otherwise)
