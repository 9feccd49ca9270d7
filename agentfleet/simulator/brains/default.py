"""The default brain: drives any agent's tools from their schemas, then finishes.

Every tool is called once per question: up to `parallel_tools` of them in the first turn, the rest in the second. A
call that came back as an error is tried once more. Then the answer: a document when the request asks for one, else a
short text.
"""

from collections import Counter
from typing import Any

from agentfleet.simulator.brains.hints import Hints
from agentfleet.simulator.brains.synthesis import synthesise
from agentfleet.simulator.conversation import Conversation
from agentfleet.simulator.turn import Turn, answer, tool_calls
from agentfleet.simulator.wire import Json, derived_id, encode

MOST_CALLS = 2  # of one tool per question, errors included
SHOWN = 160  # characters of a tool result quoted in the answer


def next_turn(conversation: Conversation, parallel_tools: int) -> Turn:
    """Tool calls while tools are left, then the answer."""
    wanted = _wanted_tools(conversation)
    if not wanted:
        return final_turn(conversation)
    choice = conversation.tool_choice
    if choice.get("disable_parallel_tool_use"):
        wanted = wanted[:1]
    elif not conversation.calls:
        wanted = wanted[:parallel_tools]
    hints = _input_hints(conversation)
    return tool_calls(
        *(
            (derived_id("toolu_", conversation.digest, b"%d" % index), tool["name"], _arguments(tool, hints))
            for index, tool in enumerate(wanted)
        )
    )


def final_turn(conversation: Conversation) -> Turn:
    """The answer: a JSON document satisfying the requested schema, else a text."""
    summary = _summary(conversation)
    schema = conversation.output_schema
    if schema is None:
        return answer(summary)
    hints = Hints()
    for call in reversed(conversation.calls):
        if not call.is_error:
            hints.learn(call.result)
    hints.learn_text(conversation.user_text)
    return answer(encode(synthesise(schema, hints, prose=summary)).decode())


def _wanted_tools(conversation: Conversation) -> list[Json]:
    choice = conversation.tool_choice
    tools = conversation.tools
    if choice["type"] == "none":
        return []
    if choice["type"] == "tool":
        return [tool for tool in tools if tool["name"] == choice["name"]]
    calls = Counter(call.name for call in conversation.calls)
    worked = {call.name for call in conversation.calls if not call.is_error}
    left = [tool for tool in tools if tool["name"] not in worked and calls[tool["name"]] < MOST_CALLS]
    return left or (tools[:1] if choice["type"] == "any" else [])


def _input_hints(conversation: Conversation) -> Hints:
    hints = Hints()
    hints.learn_text(conversation.user_text)
    for call in conversation.calls:
        if not call.is_error:
            hints.learn(call.result)
    return hints


def _arguments(tool: Json, hints: Hints) -> Json:
    value: Any = synthesise(tool["input_schema"], hints, prose=hints.text)
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _summary(conversation: Conversation) -> str:
    said = [
        f"{call.name} {'failed with' if call.is_error else 'returned'} {_shorten(call.result)}"
        for call in conversation.calls
    ]
    if said:
        return f"Done after {len(said)} tool call{'s' if len(said) > 1 else ''}: {'; '.join(said)}."
    return f"Simulated answer to: {_shorten(conversation.user_text)}"


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
