"""The request body, spliced from stored text.

Nothing that was said is parsed and written again on its way back: the provider compares what it gets with what it
signed, and caches by prefix, so what it gets must be what was stored, byte for byte
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking, "Preserving thinking blocks").
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from agentfleet.domain.model import Message
from agentfleet.engine.ports import ReasonRequest

_SAYS_NOTHING = frozenset({"", '{"type":"text","text":""}'})
"""Blocks of a turn that must not be sent back: the provider refuses empty content."""


def request_body(request: ReasonRequest) -> bytes:
    """The UTF-8 JSON of one streaming Messages API call."""
    head = dumps(_head(request.bundle.spec, request.model, request.max_tokens))
    messages = ",".join(_messages(request.conversation))
    return f'{head[:-1]},"messages":[{messages}]}}'.encode()


def dumps(value: Any) -> str:
    """Compact JSON text that keeps every character as it is."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _head(spec: Mapping[str, Any], model: str, max_tokens: int) -> dict[str, Any]:
    head: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "stream": True}
    if spec["instructions"]:
        head["system"] = spec["instructions"]
    if spec["tools"]:
        head["tools"] = spec["tools"]
    if spec["thinking"]:
        head["thinking"] = {"type": spec["thinking"]}
    output: dict[str, Any] = {}
    if spec["effort"]:
        output["effort"] = spec["effort"]
    if spec["output_schema"]:
        output["format"] = {"type": "json_schema", "schema": spec["output_schema"]}
    if output:
        head["output_config"] = output
    if spec["cache"]:
        head["cache_control"] = {"type": "ephemeral"}  # the provider moves the mark along as the conversation grows
    return head


def _messages(conversation: Iterable[Message]) -> Iterator[str]:
    """One JSON object per turn: its parts' content blocks, in order."""
    for (_, role), parts in groupby(conversation, key=lambda message: (message.turn, message.role)):
        blocks = [text for part in parts if (text := part.content.strip()[1:-1].strip()) not in _SAYS_NOTHING]
        if blocks:
            yield f'{{"role":"{role}","content":[{",".join(blocks)}]}}'
