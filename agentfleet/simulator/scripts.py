"""Deterministic scripts: "turn k of the conversation -> these blocks", by name."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentfleet.simulator.conversation import Conversation
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.turn import Turn, answer
from agentfleet.simulator.wire import Json, derived_id

SCENARIO = "script:"
MENTION = re.compile(r"sim-script:([\w.-]*\w)")


class ScriptTurn(BaseModel):
    """One turn. A block may be a plain string, meaning a text; tool_use may lack its `id`, thinking its `signature`."""

    model_config = ConfigDict(extra="forbid")

    blocks: list[Json | str]
    stop_reason: str | None = Field(default=None, description="Default: tool_use if a tool is called, else end_turn.")
    usage: dict[str, Any] = Field(default_factory=dict, description="Overrides single fields of the counted usage.")


class Script(BaseModel):
    """A named script; turn k answers the request that holds k assistant messages."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]*\w$")
    turns: list[ScriptTurn] = Field(min_length=1)

    def turn(self, conversation: Conversation) -> Turn:
        """The turn for this conversation; past the last one, a text that says so and the end."""
        if conversation.turn >= len(self.turns):
            return answer(f"Script {self.name} has no turn {conversation.turn}.")
        written = self.turns[conversation.turn]
        blocks = tuple(_complete(block, conversation, index) for index, block in enumerate(written.blocks))
        calls = any(block["type"] == "tool_use" for block in blocks)
        stop_reason = written.stop_reason or ("tool_use" if calls else "end_turn")
        return Turn(blocks=blocks, stop_reason=stop_reason, usage=written.usage)


def scripted(scripts: dict[str, Script], scenario: str | None, conversation: Conversation) -> Turn | None:
    """The scripted turn when the base URL or the prompt names a script, else None; 404 for a name nobody sent."""
    name = _named(scenario, conversation)
    if name is None:
        return None
    if name not in scripts:
        raise ApiError(404, f"simulator: no script named {name!r}; POST /sim/scripts first")
    return scripts[name].turn(conversation)


def _named(scenario: str | None, conversation: Conversation) -> str | None:
    if scenario is not None and scenario.startswith(SCENARIO):
        return scenario.removeprefix(SCENARIO)
    for text in (conversation.system_text, conversation.first_user_text):
        if "sim-script:" in text and (mention := MENTION.search(text)):
            return mention.group(1)
    return None


def _complete(block: Json | str, conversation: Conversation, index: int) -> Json:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if block["type"] == "tool_use":
        return {"id": derived_id("toolu_", conversation.digest, b"%d" % index), "input": {}, **block}
    return block
