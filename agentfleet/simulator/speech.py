"""What the model says to a request, whichever way it came: alone, or in a batch."""

from dataclasses import replace
from typing import cast

from agentfleet.simulator import validate
from agentfleet.simulator.brains import think
from agentfleet.simulator.conversation import Conversation
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.faults import Bend, Fault
from agentfleet.simulator.models import ModelCard
from agentfleet.simulator.prefix import Prefix, read_prefix
from agentfleet.simulator.scripts import scripted
from agentfleet.simulator.signatures import check_signatures, sign
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.turn import Turn, fit_into, stop_early
from agentfleet.simulator.wire import Json

THOUGHT = "The request is clear. I will take the next step and keep to what the tools say."


def check(body: Json, *, counting: bool = False) -> tuple[ModelCard, Prefix]:
    """Every check that needs no state; a shape too odd for them is a 400 as well."""
    try:
        card = validate.check_request(body, counting=counting)
        prefix = read_prefix(body)
    except (AttributeError, KeyError, TypeError) as error:
        raise ApiError.invalid(f"The request body has an unexpected shape: {error!r}") from None
    validate.check_breakpoints(len(prefix.breakpoints))
    return card, prefix


def check_history(simulator: Simulator, body: Json, prefix: Prefix) -> None:
    """400 unless every thinking block follows exactly the history it was made in."""
    if simulator.config.check_signatures:
        check_signatures(simulator.config.seed, body, prefix)


def speak(simulator: Simulator, body: Json, prefix: Prefix, scenario: str | None, fault: Fault | None) -> Turn:
    """The turn: from a script or a brain, with thinking in front, bent by a fault, within the request's own limits."""
    conversation = Conversation(body, prefix.digest)
    turn = scripted(simulator.scripts, scenario, conversation)
    if turn is None:
        turn = think(conversation, simulator.config.parallel_tools)
    turn = _think_first(turn, conversation, simulator.config.seed)
    turn = stop_early(turn, body.get("stop_sequences") or [])
    turn = fit_into(turn, body["max_tokens"])
    if fault is not None and isinstance(fault.does, Bend):
        turn = fault.does.change(turn)
    return turn


def assistant_turns(body: Json) -> int:
    """How many assistant messages a request holds, which may have any shape."""
    messages: object = body.get("messages")
    if not isinstance(messages, list):
        return 0
    asked = cast("list[object]", messages)
    return sum(isinstance(each, dict) and cast("Json", each).get("role") == "assistant" for each in asked)


def _think_first(turn: Turn, conversation: Conversation, seed: str) -> Turn:
    """Put a signed thinking block in front when the request asks for one, and sign those a script wrote."""
    blocks = turn.blocks
    if conversation.wants_thinking and not any(block["type"] == "thinking" for block in blocks):
        thought = THOUGHT if conversation.shows_thinking else ""
        blocks = ({"type": "thinking", "thinking": thought}, *blocks)
    if not any(block["type"] == "thinking" and "signature" not in block for block in blocks):
        return turn
    # The answer follows the last message; an assistant turn it continues is merged with it and shares its prefix.
    signed = tuple(
        {**block, "signature": sign(seed, conversation.digest, block["thinking"])}
        if block["type"] == "thinking" and "signature" not in block
        else block
        for block in blocks
    )
    return replace(turn, blocks=signed)
