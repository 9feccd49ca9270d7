"""A request as a brain wants to see it: who asked what, which tools there are, what they returned."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from agentfleet.simulator.prefix import as_blocks
from agentfleet.simulator.wire import Json


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in the history and its result: parsed JSON where it is JSON, else text; None if unanswered."""

    id: str
    name: str
    input: Json
    result: Any
    is_error: bool


class Conversation:
    """Read-only view of a validated Messages API request."""

    def __init__(self, body: Json, digest: bytes) -> None:
        self.body = body
        self.digest = digest
        self.messages: list[Json] = body["messages"]

    @cached_property
    def system_text(self) -> str:
        """The system prompt as one text."""
        return text_of(self.body.get("system") or "")

    @cached_property
    def tools(self) -> list[Json]:
        """Tools the caller runs, in order; server tools are left out."""
        tools: list[Json] = self.body.get("tools") or []
        return [tool for tool in tools if tool.get("type", "custom") == "custom"]

    @property
    def tool_choice(self) -> Json:
        """The request's tool choice, `auto` by default."""
        return self.body.get("tool_choice") or {"type": "auto"}

    @cached_property
    def turn(self) -> int:
        """How many assistant messages came before this one."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @cached_property
    def first_user_text(self) -> str:
        """Text of the first user message."""
        return next((text_of(message["content"]) for message in self.messages if message["role"] == "user"), "")

    @cached_property
    def user_text(self) -> str:
        """Text of the latest thing a person asked: the last user message that answers no tool call."""
        return text_of(self.messages[self._asked_at]["content"])

    @cached_property
    def calls(self) -> list[ToolCall]:
        """Tool calls since that question, in order, with their results."""
        asked: list[Json] = []
        results: dict[str, Json] = {}
        for message in self.messages[self._asked_at :]:
            for block in as_blocks(message["content"]):
                if block["type"] == "tool_use":
                    asked.append(block)
                elif block["type"] == "tool_result":
                    results[block["tool_use_id"]] = block
        return [
            ToolCall(
                id=block["id"],
                name=block["name"],
                input=block["input"],
                result=_value(results[block["id"]].get("content", "")) if block["id"] in results else None,
                is_error=bool(results.get(block["id"], {}).get("is_error")),
            )
            for block in asked
        ]

    @cached_property
    def output_schema(self) -> Json | None:
        """The JSON schema the final text must satisfy, if the request asks for one."""
        config: Json = self.body.get("output_config") or {}
        wanted: Json = config.get("format") or {}
        return wanted.get("schema") if wanted.get("type") == "json_schema" else None

    @property
    def wants_thinking(self) -> bool:
        """Whether a thinking block comes first."""
        return self._thinking.get("type") in {"adaptive", "enabled"}

    @property
    def shows_thinking(self) -> bool:
        """Whether that block carries its text; a signature it always has."""
        return self._thinking.get("display") != "omitted"

    @property
    def _thinking(self) -> Json:
        return self.body.get("thinking") or {}

    @cached_property
    def _asked_at(self) -> int:
        for index in range(len(self.messages) - 1, -1, -1):
            message = self.messages[index]
            if message["role"] == "user" and not any(
                block["type"] == "tool_result" for block in as_blocks(message["content"])
            ):
                return index
        return 0


def text_of(content: Any) -> str:
    """All text in a content value, one line break between blocks."""
    return "\n".join(block["text"] for block in as_blocks(content) if block.get("type") == "text")


def _value(content: Any) -> Any:
    text = text_of(content)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
