"""One line of a batch's results: a turn as a direct call would have brought it, or the refusal.

Content and tool arguments are cut out of the line as they stand there: what is sent back must be what was received.
"""

import json
from datetime import date
from typing import Any

from agentfleet.domain.batch import ItemState
from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderError, ProviderUnavailable
from agentfleet.domain.plan import ToolUse, Turn
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.engine.ports import Reasoned
from agentfleet.provider.answer import clean, storable
from agentfleet.provider.body import dumps
from agentfleet.provider.measure import count_success
from agentfleet.provider.models import max_output
from agentfleet.provider.prices import cost
from agentfleet.provider.refusals import refused
from agentfleet.provider.spans import elements, members

Json = dict[str, Any]

HEALS = frozenset({Verdict.BACKOFF, Verdict.OVERLOADED, Verdict.PARK, Verdict.RETRY_AT, Verdict.UNCLASSIFIED})
"""Verdicts under which a direct call may do better than the request in the batch did."""


def read_line(line: str) -> tuple[str, ItemState]:
    """The request's custom id, and what its result means; raises ``ValueError`` or ``LookupError``: it is malformed.

    A request that is refused as such fails its step. Whatever else went wrong, a direct call may do better.
    """
    value: Json = json.loads(line)
    result = value["result"]
    match result["type"]:
        case "succeeded":
            state = ItemState.SUCCEEDED
        case "errored" if classify(_refusal(result)) not in HEALS:
            state = ItemState.FAILED
        case _:
            state = ItemState.SPILLED
    return value["custom_id"], state


def read_result(line: str, day: date) -> Reasoned:
    """The turn that a line holds, priced as of ``day``.

    Raises the ``ProviderError`` that a direct call would have raised, ``ProviderUnavailable`` for what cannot be read.
    """
    try:
        result: Json = json.loads(line)["result"]
        if result["type"] == "succeeded":
            return _reasoned(line, result["message"], day)
        failure = _refusal(result)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        failure = ProviderUnavailable(f"the result of a batch is malformed: {type(error).__name__}: {error}")
    raise failure


def _reasoned(line: str, message: Json, day: date) -> Reasoned:
    start, end = members(line, members(line, members(line)["result"][0])["message"][0])["content"]
    blocks: list[Json] = message["content"]
    uses = [
        ToolUse(block["id"], block["name"], storable(_input(line, span[0])))
        for block, span in zip(blocks, elements(line, start), strict=True)
        if block["type"] == "tool_use"
    ]
    text = clean("".join(block["text"] for block in blocks if block["type"] == "text"))
    raw: Json = message["usage"]
    details: Json = message.get("stop_details") or {}
    usage = Usage(
        raw.get("input_tokens") or 0,
        raw["output_tokens"],
        raw.get("cache_read_input_tokens") or 0,
        raw.get("cache_creation_input_tokens") or 0,
        cost({**raw, "service_tier": "batch"}, message["model"], day),
    )
    turn = Turn(
        message["stop_reason"],
        storable(line[start:end]),
        text,
        tuple(uses),
        category=details.get("category"),
        at_limit=usage.output_tokens == max_output(message["model"]),
    )
    if not isinstance(turn.stop_reason, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # as received
        raise TypeError("there is no stop_reason")
    count_success(message["model"], usage, None)
    return Reasoned(turn, usage, dumps(raw))


def _input(line: str, start: int) -> str:
    begin, end = members(line, start)["input"]
    if line[begin] != "{":
        raise ValueError("the arguments of a tool call are not a JSON object")
    return line[begin:end]


def _refusal(result: Json) -> ProviderError:
    if result["type"] == "errored":
        return refused(200, result["error"], {})
    return ProviderUnavailable(f"the request of the batch is {result['type']}")
