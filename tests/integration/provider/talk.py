"""Requests as the engine makes them, and answers as they look on the wire."""

import json
from typing import Any

from agentfleet.domain.model import Bundle, Message
from agentfleet.engine.ports import ReasonRequest

MODEL = "claude-sonnet-5-5"
SPEC: dict[str, Any] = {
    "model": MODEL,
    "instructions": "Be brief.",
    "tools": [],
    "output_schema": None,
    "max_tokens": 1_000,
    "thinking": None,
    "effort": None,
    "cache": True,
}


def message(turn: int, role: str, *blocks: Any, part: int = 0) -> Message:
    """A message whose blocks are texts, or JSON."""
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    return Message(turn, part, role, json.dumps(content, ensure_ascii=False))


def ask(*conversation: Message, max_tokens: int = 1_000, **changes: Any) -> ReasonRequest:
    """A request; says hello unless told otherwise."""
    bundle = Bundle("b_test", "tester", {**SPEC, **changes})
    return ReasonRequest(
        bundle, conversation or (message(0, "user", "Say hello."),), max_tokens, "run-1", "step-1", bundle.spec["model"]
    )


def event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


START = event("message_start", message={"id": "m", "model": MODEL, "usage": {"input_tokens": 7, "output_tokens": 1}})


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> str:
    lines = [event("content_block_start", index=index, content_block=start)]
    lines += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return "".join(lines) + event("content_block_stop", index=index)


def end(stop_reason: str | None = "end_turn") -> str:
    return event("message_delta", delta={"stop_reason": stop_reason}, usage={"output_tokens": 9}) + event(
        "message_stop"
    )


def stream(*events: str, headers: str = "", content_type: str = "text/event-stream") -> bytes:
    """A whole HTTP answer that ends with its connection."""
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nrequest-id: req_wire\r\n{headers}connection: close\r\n\r\n"
    )
    return (head + "".join(events)).encode()
