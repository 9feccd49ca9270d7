"""POST /v1/messages: admit the call, let the model speak, send what it said. Reads top to bottom."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from agentfleet.simulator import events, validate
from agentfleet.simulator.buckets import OUTPUT
from agentfleet.simulator.cache import Split
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.faults import Break, Drip, Lost
from agentfleet.simulator.mishaps import UNKNOWN_EVENT, break_stream, break_whole, happens_first, lose
from agentfleet.simulator.models import ModelCard, group_of
from agentfleet.simulator.prefix import Prefix
from agentfleet.simulator.speech import assistant_turns, check, check_history, speak
from agentfleet.simulator.turn import Turn
from agentfleet.simulator.usage import usage_json
from agentfleet.simulator.wire import SSE_TYPE, Json, fresh_id

Mishap: TypeAlias = Break | Drip
MUTE = Break("mute")


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
    turn = speak(exchange.simulator, exchange.body, admitted.prefix, exchange.entry.scenario, fault)
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
        _produce(exchange, turn.output_tokens - entry.charged[OUTPUT])


def read_body(exchange: Exchange, bucket: str | None = None) -> None:
    """Parse the body and note in the log what was asked; `bucket` is the surface if it is not the model's group."""
    body = exchange.body = validate.parse(exchange.raw, exchange.simulator.config.max_body_bytes)
    entry = exchange.entry
    model: Any = body.get("model")
    entry.model = model if isinstance(model, str) else None
    entry.bucket = bucket or (group_of(entry.model) if entry.model is not None else None)
    entry.stream = body.get("stream") is True
    entry.turn = assistant_turns(body)


def admit(exchange: Exchange) -> Admitted:
    """Check the request, split its input by the cache and take it from the buckets."""
    simulator, entry = exchange.simulator, exchange.entry
    card, prefix = check(exchange.body)
    entry.input = prefix.digest.hex()
    check_history(simulator, exchange.body, prefix)
    split = simulator.cache.split((exchange.organization, card.id), prefix, entry.at)
    scope = (exchange.organization, card.group)
    taken = simulator.buckets.admit(scope, split.limited, entry.at, cache_reads=split.read)
    entry.charged = {**taken, OUTPUT: 0}
    return Admitted(card=card, prefix=prefix, split=split)


async def send_whole(exchange: Exchange, admitted: Admitted, turn: Turn, usage: Json, mishap: Mishap | None) -> None:
    """The message in one piece, after as long as it took to say."""
    first, each = _pace(exchange)
    drip = mishap.seconds * len(list(events.body(turn))) if isinstance(mishap, Drip) else 0
    await exchange.wait(first + each * turn.output_tokens + drip)
    _begin(exchange, admitted)
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
    _begin(exchange, admitted)
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
        _produce(exchange, min(tokens, exchange.entry.usage["output_tokens"] - exchange.entry.charged[OUTPUT]))


def _produce(exchange: Exchange, tokens: int) -> None:
    """Take output tokens from their bucket, as they are produced."""
    entry, simulator = exchange.entry, exchange.simulator
    if tokens > 0 and entry.bucket is not None:
        simulator.buckets.produce((exchange.organization, entry.bucket), tokens, simulator.clock())
        entry.charged[OUTPUT] += tokens


def _pace(exchange: Exchange) -> tuple[float, float]:
    """Seconds to the first token, and seconds per token."""
    config = exchange.simulator.config
    first = exchange.headers.get("x-sim-latency-ms")
    return (float(first) if first else config.first_token_ms) / 1000, config.token_ms / 1000


def _begin(exchange: Exchange, admitted: Admitted) -> None:
    """The first token exists: from now on the cache can be read."""
    scope = (exchange.organization, admitted.card.id)
    exchange.simulator.cache.store(scope, admitted.split, exchange.entry.at)
    exchange.entry.spoke_at = exchange.simulator.clock()
