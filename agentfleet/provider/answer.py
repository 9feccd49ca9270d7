"""One answer of the model, put together from its stream, block by block and verbatim.

The SDK's accumulator loses the deltas of blocks that it does not know and repairs tool arguments that were cut off.
This one keeps the arguments as they came, and merges an unknown delta into the fields that its block already has.
"""

import json
from collections.abc import Mapping
from typing import Any

from agentfleet.domain.plan import ToolUse, Turn
from agentfleet.provider.body import dumps

Json = dict[str, Any]

_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons under which the last tool call may be half a call."""


class Block:
    """One content block: how it started, and what was added to it."""

    def __init__(self, start: Json) -> None:
        self.head = start
        self.type = start["type"]
        self.arguments: list[str] = []
        self._added: dict[str, list[str]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        """Merge one delta."""
        match delta["type"]:
            case "input_json_delta":
                self.arguments.append(delta["partial_json"])
            case "citations_delta":
                self.head["citations"] = [*(self.head.get("citations") or ()), delta["citation"]]
            case "signature_delta":
                self.head["signature"] = delta["signature"]
            case _:
                for key in delta.keys() & self.head.keys() - {"type"}:
                    self._merge(key, delta[key])

    def text(self, key: str) -> str:
        """A text field, complete."""
        return str(self.head.get(key) or "") + "".join(self._added.get(key, ()))

    def render(self) -> str:
        """Its JSON text; tool arguments exactly as the model wrote them, if they are whole."""
        head = {key: self.text(key) if key in self._added else value for key, value in self.head.items()}
        written = "".join(self.arguments)
        if not written:
            return dumps(head)
        head.setdefault("input", {})
        value = _object(written) or dumps(written)  # what is left of half a call is kept, as a string
        fields = [f"{dumps(key)}:{value if key == 'input' else dumps(field)}" for key, field in head.items()]
        return "{" + ",".join(fields) + "}"

    def tool_use(self) -> ToolUse | None:
        """The call that it asks for; ``None`` when the arguments are no JSON object."""
        written = _object("".join(self.arguments) or dumps(self.head["input"]))
        return None if written is None else ToolUse(self.head["id"], self.head["name"], written)

    def _merge(self, key: str, value: Any) -> None:
        if isinstance(value, str) and isinstance(self.head[key], str | None):
            self._added.setdefault(key, []).append(value)
        elif isinstance(value, list) and isinstance(self.head[key], list):
            self.head[key] = [*self.head[key], *value]
        else:
            self.head[key] = value


class Answer:
    """What has arrived so far. Raises ``LookupError``, ``TypeError`` or ``ValueError`` when the stream is malformed."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.model = ""
        self.usage: Json = {}
        self.stop_reason: str | None = None
        self.stop_category: str | None = None
        self.complete = False
        self.blocks: list[Block] = []

    def take(self, name: str, data: str) -> str | None:
        """One event; returns the piece of text in it. Events that nobody knows are ignored, as the API asks."""
        match name:
            case "content_block_delta":
                event = json.loads(data)
                self.blocks[int(event["index"])].add(event["delta"])
                return event["delta"]["text"] if event["delta"]["type"] == "text_delta" else None
            case "content_block_start":
                event = json.loads(data)
                if event["index"] != len(self.blocks):
                    raise ValueError(f"content block {event['index']} follows {len(self.blocks)} others")
                self.blocks.append(Block(event["content_block"]))
            case "message_start":
                message = json.loads(data)["message"]
                self.model, self.usage, self.id = message["model"], message["usage"], message.get("id")
            case "message_delta":
                event = json.loads(data)
                self.stop_reason = event["delta"].get("stop_reason") or self.stop_reason
                details: Json = event["delta"].get("stop_details") or {}
                self.stop_category = details.get("category")
                # These counts are totals so far: they replace those of the start, where they are given.
                self.usage.update({key: value for key, value in event["usage"].items() if value is not None})
            case "message_stop":
                self.complete = True
            case _:
                pass
        return None

    def turn(self) -> Turn:
        """The complete turn; raises ``ValueError`` when it is not complete or asks for a call that cannot be read."""
        if not self.complete or not self.model or self.stop_reason is None:
            missing = "message_stop" if not self.complete else "message_start" if not self.model else "stop_reason"
            raise ValueError(f"the stream ended without {missing}")
        uses = [block.tool_use() for block in self.blocks if block.type == "tool_use"]
        calls = tuple(use for use in uses if use is not None)
        if len(calls) != len(uses) and self.stop_reason not in _CUT:
            raise ValueError("the arguments of a tool call are not a JSON object")
        content = clean("[" + ",".join(block.render() for block in self.blocks) + "]")
        text = clean("".join(block.text("text") for block in self.blocks if block.type == "text"))
        return Turn(self.stop_reason, content, text, calls, self.stop_category)


def _object(text: str) -> str | None:
    """``text`` if it is a JSON object."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return None
    return storable(text) if isinstance(value, dict) else None


def storable(text: str) -> str:
    """JSON ``text``, rewritten only if it escapes a lone surrogate, which no one could store."""
    if "\\ud" in text.lower():
        written = dumps(json.loads(text))
        return text if clean(written) == written else clean(written)
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def clean(text: str) -> str:
    """Joins surrogate pairs that came in two pieces; what remains single becomes U+FFFD, as UTF-8 has no surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
