"""What the model says in one turn, before it is put on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentfleet.simulator.tokens import block_tokens, text_tokens
from agentfleet.simulator.wire import Json, encode


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant turn.

    `cut_json` is set when the last block is a tool call whose arguments stop in the middle: the text as far as it got.
    `usage` overrides single fields of the counted usage.
    """

    blocks: tuple[Json, ...]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Json | None = None
    cut_json: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def output_tokens(self) -> int:
        """Tokens of everything said, thinking included; never 0."""
        return max(1, sum(block_tokens(block) for block in self.blocks))

    @property
    def thinking_tokens(self) -> int:
        """Tokens of the thinking blocks alone."""
        return sum(block_tokens(block) for block in self.blocks if block["type"] == "thinking")


def answer(text: str) -> Turn:
    """A turn that is one text and then the end."""
    return Turn(blocks=({"type": "text", "text": text},))


def tool_calls(*calls: tuple[str, str, Json]) -> Turn:
    """A turn that asks for tools; each call is (id, name, input)."""
    blocks = tuple({"type": "tool_use", "id": id_, "name": name, "input": input_} for id_, name, input_ in calls)
    return Turn(blocks=blocks, stop_reason="tool_use")


def stop_early(turn: Turn, stop_sequences: list[str]) -> Turn:
    """The turn up to the first stop sequence in one of its texts."""
    for index, block in enumerate(turn.blocks):
        if block["type"] != "text":
            continue
        hits = [(block["text"].find(stop), stop) for stop in stop_sequences if stop in block["text"]]
        if hits:
            at, stop = min(hits)
            kept = (*turn.blocks[:index], {**block, "text": block["text"][:at]})
            return replace(turn, blocks=kept, stop_reason="stop_sequence", stop_sequence=stop)
    return turn


def fit_into(turn: Turn, max_tokens: int) -> Turn:
    """The turn cut where `max_tokens` runs out, as the service does: in the middle of a text or of tool arguments."""
    left = max_tokens
    kept: list[Json] = []
    for block in turn.blocks:
        cost = block_tokens(block)
        if cost <= left:
            kept.append(block)
            left -= cost
            continue
        cut_json = None
        if left > 0 and block["type"] == "text":
            kept.append({**block, "text": block["text"][: left * 4]})
        elif left > 0 and block["type"] == "tool_use":
            cut_json = encode(block["input"]).decode()[: min(left, max(1, text_tokens(encode(block["input"])) - 1)) * 4]
            kept.append({**block, "input": {}})
        return replace(turn, blocks=tuple(kept), stop_reason="max_tokens", stop_sequence=None, cut_json=cut_json)
    return turn
