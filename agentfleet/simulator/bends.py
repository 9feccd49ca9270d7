"""How a whole answer can be odd: each function turns the turn the model would have said into another one."""

from dataclasses import replace

from agentfleet.simulator.turn import Turn
from agentfleet.simulator.wire import Json, encode, fresh_id

LONG_TEXT = "This answer goes on for a while and is never finished because it was cut in the"
HALF = {"path": "notes.txt", "text": "half a sentence that goes on"}


def cut_text(turn: Turn) -> Turn:
    """A text that stops half way for want of tokens."""
    return replace(turn, blocks=(*_thinking(turn), _text(LONG_TEXT)), stop_reason="max_tokens")


def exceed_context(turn: Turn) -> Turn:
    """The same, because the context window is full."""
    return replace(cut_text(turn), stop_reason="model_context_window_exceeded")


def cut_tool(turn: Turn) -> Turn:
    """A tool call whose arguments stop in the middle of their JSON."""
    call = next((block for block in turn.blocks if block["type"] == "tool_use" and block["input"]), None)
    call = call or _call("write_file", HALF)
    whole = encode(call["input"]).decode()
    started: Json = {**call, "input": {}}
    return replace(
        turn,
        blocks=(*_thinking(turn), started),
        stop_reason="max_tokens",
        cut_json=whole[: max(1, len(whole) * 2 // 3)],
    )


def refuse(turn: Turn) -> Turn:
    """No content and the reason why."""
    details = {"type": "refusal", "category": "cyber", "explanation": "Simulated refusal."}
    return replace(turn, blocks=(), stop_reason="refusal", stop_details=details)


def pause(turn: Turn) -> Turn:
    """A server tool call that is still running; send it back as it is to go on."""
    call: Json = {
        "type": "server_tool_use",
        "id": fresh_id("srvtoolu_"),
        "name": "web_search",
        "input": {"query": "simulated"},
    }
    return replace(turn, blocks=(*_thinking(turn), _text("Still searching."), call), stop_reason="pause_turn")


def say_nothing(turn: Turn) -> Turn:
    """An end of turn without content, as happens after tool results."""
    return replace(turn, blocks=(), stop_reason="end_turn")


def add_hologram(turn: Turn) -> Turn:
    """A first block of a type no client knows."""
    return replace(turn, blocks=({"type": "hologram", "depth": 3}, *turn.blocks))


def stop_oddly(turn: Turn) -> Turn:
    """A stop reason no client knows."""
    return replace(turn, stop_reason="stargazing")


def call_unknown_tool(turn: Turn) -> Turn:
    """A call of a tool that nobody offered."""
    return replace(turn, blocks=(*_thinking(turn), _call("no_such_tool", HALF)), stop_reason="tool_use")


def break_arguments(turn: Turn) -> Turn:
    """Tool arguments that fit no schema; a turn without tool calls stays as it is."""
    blocks = tuple(
        {**block, "input": {"unexpected": ["simulated"]}} if block["type"] == "tool_use" else block
        for block in turn.blocks
    )
    return replace(turn, blocks=blocks)


def break_output(turn: Turn) -> Turn:
    """A final text that is not JSON; a turn that calls tools stays as it is."""
    if turn.stop_reason == "tool_use":
        return turn
    return replace(turn, blocks=(*_thinking(turn), _text("Here is the report you asked for: {")))


def _thinking(turn: Turn) -> tuple[Json, ...]:
    return tuple(block for block in turn.blocks if block["type"] == "thinking")


def _call(name: str, input_: Json) -> Json:
    # A fresh id: the fault may strike twice in one conversation, where ids must differ.
    return {"type": "tool_use", "id": fresh_id("toolu_"), "name": name, "input": input_}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
