"""How a fault of the menu happens on the wire."""

from email.utils import formatdate

from agentfleet.simulator import events
from agentfleet.simulator.buckets import rfc3339
from agentfleet.simulator.errors import ApiError, error_body
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.faults import Answer, Break, Fault, Lost
from agentfleet.simulator.wire import JSON_TYPE, SSE_TYPE, Json, encode, event, header_pairs


async def happens_first(exchange: Exchange, fault: Fault | None) -> bool:
    """Let a fault happen that leaves no room for an answer; False when the model still gets to speak."""
    match fault.does if fault else None:
        case Answer() as answer:
            exchange.entry.outcome = "failed" if answer.status != 200 else "broken"
            await deliver(exchange, answer)
        case Lost(paid=False) as lost:
            await lose(exchange, lost)
        case _:
            return False
    return True


async def deliver(exchange: Exchange, answer: Answer) -> None:
    """Send the answer of the menu instead of the model's."""
    headers = dict(answer.headers)
    if answer.retry_in is not None:
        until = exchange.simulator.clock() + answer.retry_in
        if answer.retry_style == "date":
            headers["retry-after"] = formatdate(until, usegmt=True)
        else:
            headers["anthropic-ratelimit-input-tokens-remaining"] = "0"
            headers["anthropic-ratelimit-input-tokens-reset"] = rfc3339(int(until)).decode()
    if answer.raw is None:
        error = ApiError(answer.status, answer.message, answer.error_code, headers)
        await exchange.send_error(error)
        return
    streams = exchange.entry.stream
    raw = answer.raw_stream if streams and answer.raw_stream is not None else answer.raw
    content_type = (b"content-type", answer.content_type.encode())
    if answer.raw_stream is not None:
        content_type = SSE_TYPE if streams else JSON_TYPE
    await exchange.send_whole(answer.status, raw.encode(), content_type, header_pairs(headers))


async def lose(exchange: Exchange, lost: Lost) -> None:
    """Reset the connection, or keep it open and silent until the client gives up."""
    if lost.how == "stall":
        exchange.entry.outcome = "broken"
        await exchange.wait(exchange.simulator.config.stall_seconds)
    await exchange.reset()


async def break_stream(exchange: Exchange, mishap: Break) -> None:
    """What happens when half of the stream is out; nothing, if it is mute. Not called for `unknown_event`."""
    exchange.entry.outcome = "broken"
    match mishap.how:
        case "error":
            body = error_body(mishap.error, "Simulated fault", request_id=exchange.entry.id)
            await exchange.write(b"event: error\ndata: " + encode(body) + b"\n\n", last=True)
        case "mute" | "stall":
            await lose(exchange, Lost("stall"))
        case "reset":
            await exchange.reset()
        case _:
            await exchange.write(b"", last=True)


async def break_whole(exchange: Exchange, mishap: Break, message: Json) -> None:
    """The same fault for a call without streaming."""
    data = encode(message)
    exchange.entry.outcome = "broken"
    match mishap.how:
        case "error":
            exchange.entry.paid, exchange.entry.usage = False, {}  # an error answer costs nothing
            await exchange.send_error(ApiError(mishap.status, "Simulated fault"))
        case "truncate":
            await exchange.send_whole(200, data[: len(data) // 2], JSON_TYPE, [])
        case "unknown_event":
            exchange.entry.outcome = "open"
            await exchange.send_json(200, {**message, "constellation": "orion"})
        case how:
            await exchange.start(200, [JSON_TYPE, (b"content-length", b"%d" % len(data))])
            await exchange.write(b"" if how == "mute" else data[: len(data) // 2])
            await lose(exchange, Lost("reset" if how == "reset" else "stall"))


UNKNOWN_EVENT: events.Piece = (event("constellation", name="orion"), 0)
