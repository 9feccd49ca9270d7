"""A turn as the service streams it: the order of events, blocks in deltas, cumulative usage at the end."""

from collections.abc import Iterator
from typing import TypeAlias

from agentfleet.simulator.tokens import TOOL_CALL_TOKENS, text_tokens
from agentfleet.simulator.turn import Turn
from agentfleet.simulator.wire import Json, encode, event

CHUNK = 48  # characters of one delta

Piece: TypeAlias = tuple[bytes, int]  # bytes to send, and the output tokens they carry


def message_json(message_id: str, model: str, turn: Turn, usage: Json) -> Json:
    """The whole `Message` object, as a call without streaming returns it."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(turn.blocks),
        "stop_reason": turn.stop_reason,
        "stop_sequence": turn.stop_sequence,
        "stop_details": turn.stop_details,
        "usage": usage,
    }


def opening(message_id: str, model: str, usage: Json) -> bytes:
    """`message_start` with the input side of the usage, then a `ping`. Sent before the first token exists."""
    message = message_json(message_id, model, Turn(blocks=()), {**usage, "output_tokens": 1})
    message["stop_reason"] = None
    return event("message_start", message=message) + event("ping")


def body(turn: Turn) -> Iterator[Piece]:
    """The content blocks, each as start, deltas and stop."""
    for index, block in enumerate(turn.blocks):
        cut = turn.cut_json if index == len(turn.blocks) - 1 else None
        yield from _block(index, block, cut)


def closing(turn: Turn, usage: Json) -> bytes:
    """`message_delta` with the stop reason and the cumulative usage, then `message_stop`."""
    counted = {key: usage[key] for key in _DELTA_USAGE if key in usage}
    delta = {
        "stop_reason": turn.stop_reason,
        "stop_sequence": turn.stop_sequence,
        "stop_details": turn.stop_details,
    }
    return event("message_delta", delta=delta, usage=counted) + event("message_stop")


_DELTA_USAGE = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
)


def _block(index: int, block: Json, cut: str | None) -> Iterator[Piece]:
    match block["type"]:
        case "text":
            yield _start(index, {"type": "text", "text": ""}), 0
            for chunk in _chunks(block["text"]):
                yield _delta(index, {"type": "text_delta", "text": chunk}), text_tokens(chunk)
        case "thinking":
            yield _start(index, {"type": "thinking", "thinking": "", "signature": ""}), 0
            for chunk in _chunks(block["thinking"]):
                yield _delta(index, {"type": "thinking_delta", "thinking": chunk}), text_tokens(chunk)
            yield _delta(index, {"type": "signature_delta", "signature": block["signature"]}), 0
        case "tool_use" | "server_tool_use":
            yield _start(index, {**block, "input": {}}), TOOL_CALL_TOKENS
            yield _delta(index, {"type": "input_json_delta", "partial_json": ""}), 0
            for chunk in _chunks(encode(block["input"]).decode() if cut is None else cut):
                yield _delta(index, {"type": "input_json_delta", "partial_json": chunk}), text_tokens(chunk)
        case kind:
            yield _start(index, block), text_tokens(encode(block))
            if kind == "hologram":  # the unknown block of the fault menu has a delta nobody knows either
                yield _delta(index, {"type": "hologram_delta", "frame": 1}), 0
    yield event("content_block_stop", index=index), 0


def _start(index: int, block: Json) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def _delta(index: int, delta: Json) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


def _chunks(text: str) -> Iterator[str]:
    for start in range(0, len(text), CHUNK):
        yield text[start : start + CHUNK]
