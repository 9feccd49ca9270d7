"""POST /v1/messages: admit the call, let the model speak, send what it said. Reads top to bottom."""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from agentfleet.simulator import events, validate
from agentfleet.simulator.brains import think
from agentfleet.simulator.cache import Split
from agentfleet.simulator.conversation import Conversation
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.faults import Bend, Break, Drip, Fault, Lost
from agentfleet.simulator.mishaps import UNKNOWN_EVENT, break_stream, break_whole, happens_first, lose
from agentfleet.simulator.models import ModelCard
from agentfleet.simulator.prefix import Prefix, read_prefix
from agentfleet.simulator.scripts import scripted
from agentfleet.simulator.signatures import check_signatures, sign
from agentfleet.simulator.turn import Turn, fit_into, stop_early
from agentfleet.simulator.usage import usage_json
from agentfleet.simulator.wire import SSE_TYPE, Json, fresh_id

Mishap: TypeAlias = Break | Drip
MUTE = Break("mute")
THOUGHT = "The request is clear. I will take the next step and keep to what the tools say."


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that passed every check and whose input has been counted."""

    card: ModelCard
    prefix: Prefix
    split: Split


async def create(exchange: Exchange) -> None:
    """Answer one call, with or without streaming."""
    exchange.authenticate()
    read_body(exchange)
    fault = exchange.pick_fault()
    if await happens_first(exchange, fault):
        return
    admitted = admit(exchange)
    turn = speak(exchange, admitted, fault)
    usage = usage_json(admitted.split, turn)
    entry = exchange.entry
    entry.paid, entry.stop_reason, entry.usage = True, turn.stop_reason, usage
    if fault is not None and isinstance(fault.does, Lost):
        await lose(exchange, fault.does)
        return
    mishap = fault.does if fault is not None and isinstance(fault.does, Break | Drip) else None
    try:
        await (send_stream if entry.stream else send_whole)(exchange, admitted, turn, usage, mishap)
    finally:
        scope = (exchange.organization, admitted.card.group)
        exchange.simulator.buckets.produce(scope, turn.output_tokens, exchange.simulator.clock())


def read_body(exchange: Exchange) -> None:
    """Parse the body and note in the log what was asked."""
    body = exchange.body = validate.parse(exchange.raw, exchange.simulator.config.max_body_bytes)
    entry = exchange.entry
    model: Any = body.get("model")
    messages: Any = body.get("messages")
    entry.model = model if isinstance(model, str) else None
    entry.stream = body.get("stream") is True
    if isinstance(messages, list):
        asked = cast("list[Any]", messages)
        entry.turn = sum(isinstance(each, dict) and cast("Json", each).get("role") == "assistant" for each in asked)


def check(exchange: Exchange, *, counting: bool = False) -> tuple[ModelCard, Prefix]:
    """Every check that needs no state; a shape too odd for them is a 400 as well."""
    try:
        card = validate.check_request(exchange.body, counting=counting)
        prefix = read_prefix(exchange.body)
    except (AttributeError, KeyError, TypeError) as error:
        raise ApiError.invalid(f"The request body has an unexpected shape: {error!r}") from None
    validate.check_breakpoints(len(prefix.breakpoints))
    return card, prefix


def admit(exchange: Exchange) -> Admitted:
    """Check the request, split its input by the cache and take it from the buckets."""
    simulator, now = exchange.simulator, exchange.entry.at
    card, prefix = check(exchange)
    exchange.group = card.group
    if simulator.config.check_signatures:
        check_signatures(simulator.config.seed, exchange.body, prefix)
    split = simulator.cache.split((exchange.organization, card.id), prefix, now)
    simulator.buckets.admit((exchange.organization, card.group), split.limited, now)
    return Admitted(card=card, prefix=prefix, split=split)


def speak(exchange: Exchange, admitted: Admitted, fault: Fault | None) -> Turn:
    """The turn: from a script or a brain, with thinking in front, bent by a fault, within the request's own limits."""
    simulator, body = exchange.simulator, exchange.body
    conversation = Conversation(body, admitted.prefix.digest)
    turn = scripted(simulator.scripts, exchange.entry.scenario, conversation)
    if turn is None:
        turn = think(conversation, simulator.config.parallel_tools)
    turn = _think_first(turn, conversation, simulator.config.seed)
    turn = stop_early(turn, body.get("stop_sequences") or [])
    turn = fit_into(turn, body["max_tokens"])
    if fault is not None and isinstance(fault.does, Bend):
        turn = fault.does.change(turn)
    return turn


async def send_whole(exchange: Exchange, admitted: Admitted, turn: Turn, usage: Json, mishap: Mishap | None) -> None:
    """The message in one piece, after as long as it took to say."""
    first, each = _pace(exchange)
    drip = mishap.seconds * len(list(events.body(turn))) if isinstance(mishap, Drip) else 0
    await exchange.wait(first + each * turn.output_tokens + drip)
    _store_cache(exchange, admitted)
    message = events.message_json(fresh_id("msg_"), exchange.body["model"], turn, usage)
    if isinstance(mishap, Break):
        await break_whole(exchange, mishap, message)
    else:
        await exchange.send_json(200, message)


async def send_stream(exchange: Exchange, admitted: Admitted, turn: Turn, usage: Json, mishap: Mishap | None) -> None:
    """The message as events, at the configured pace."""
    first, each = _pace(exchange)
    await exchange.start(200, [SSE_TYPE, (b"cache-control", b"no-cache")])
    if mishap == MUTE:
        await break_stream(exchange, MUTE)
        return
    await exchange.write(events.opening(fresh_id("msg_"), exchange.body["model"], usage))
    await exchange.wait(first)
    _store_cache(exchange, admitted)
    pieces = list(events.body(turn))
    if isinstance(mishap, Drip):
        pieces, each = [(data, 1) for data, _ in pieces], mishap.seconds
    if isinstance(mishap, Break):
        half = max(min(2, len(pieces)), len(pieces) // 2)
        await _write_paced(exchange, pieces[:half], each)
        if mishap.how != "unknown_event":
            await break_stream(exchange, mishap)
            return
        pieces = [UNKNOWN_EVENT, *pieces[half:]]
    await _write_paced(exchange, pieces, each)
    await exchange.write(events.closing(turn, usage), last=True)


async def _write_paced(exchange: Exchange, pieces: list[events.Piece], each: float) -> None:
    if each == 0:
        await exchange.write(b"".join(data for data, _ in pieces))
        return
    for data, tokens in pieces:
        await exchange.wait(tokens * each)
        await exchange.write(data)


def _pace(exchange: Exchange) -> tuple[float, float]:
    """Seconds to the first token, and seconds per token."""
    config = exchange.simulator.config
    first = exchange.headers.get("x-sim-latency-ms")
    return (float(first) if first else config.first_token_ms) / 1000, config.token_ms / 1000


def _store_cache(exchange: Exchange, admitted: Admitted) -> None:
    scope = (exchange.organization, admitted.card.id)
    exchange.simulator.cache.store(scope, admitted.split, exchange.entry.at)


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
