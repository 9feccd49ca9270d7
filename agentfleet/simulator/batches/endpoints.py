"""/v1/messages/batches: create, list, retrieve, results, cancel, delete."""

import math

from agentfleet.simulator import validate
from agentfleet.simulator.armed import share
from agentfleet.simulator.batch import DAY, Batch, Item
from agentfleet.simulator.batches.checks import MAX_BYTES, check_batch
from agentfleet.simulator.batches.work import catch_up
from agentfleet.simulator.buckets import BATCH
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.faults import Break, Fault, Lost
from agentfleet.simulator.mishaps import break_stream, happens_first, lose
from agentfleet.simulator.paging import page
from agentfleet.simulator.wire import Json, encode, fresh_id

PIECE_OF_A_LINE = 20  # bytes of the line in which a broken file ends
JSONL_TYPE = (b"content-type", b"application/x-jsonl")


async def create_batch(exchange: Exchange) -> None:
    """Accept a batch. With a lost answer it is accepted all the same, as it may be with the real service."""
    fault, happened = await _enter(exchange)
    if happened:
        return
    body = validate.parse(exchange.raw, MAX_BYTES)
    rows = check_batch(body)
    _check_queue(exchange, len(rows))
    batch = _new(exchange, rows)
    exchange.entry.batch = batch.id
    exchange.simulator.batches.add(batch)
    if fault is not None and isinstance(fault.does, Lost):
        await lose(exchange, fault.does)
        return
    await exchange.send_json(200, _shown(exchange, batch))


async def list_batches(exchange: Exchange) -> None:
    """One page of the organization's batches, newest first."""
    _, happened = await _enter(exchange)
    if happened:
        return
    rows = [(batch.id, _shown(exchange, batch)) for batch in exchange.simulator.batches.of(exchange.organization)]
    answer = page(rows, exchange.page_limit(), exchange.query("after_id"), exchange.query("before_id"))
    await exchange.send_json(200, answer)


async def retrieve_batch(exchange: Exchange) -> None:
    """One batch."""
    _, happened = await _enter(exchange)
    if not happened:
        await exchange.send_json(200, _shown(exchange, _found(exchange)))


async def cancel_batch(exchange: Exchange) -> None:
    """Give up what is not yet under way."""
    _, happened = await _enter(exchange)
    if happened:
        return
    batch, simulator = _found(exchange), exchange.simulator
    batch.cancel(simulator.clock(), simulator.config.batches.cancel_seconds)
    await exchange.send_json(200, _shown(exchange, batch))


async def delete_batch(exchange: Exchange) -> None:
    """Take away a batch that has ended, with its results."""
    _, happened = await _enter(exchange)
    if happened:
        return
    batch = _found(exchange)
    exchange.simulator.batches.delete(batch)
    await exchange.send_json(200, {"id": batch.id, "type": "message_batch_deleted"})


async def batch_results(exchange: Exchange) -> None:
    """A line for each request, in no order of the client's."""
    fault, happened = await _enter(exchange)
    if happened:
        return
    batch = _found(exchange)
    if batch.ended is None or batch.archived(exchange.simulator.clock()):
        raise ApiError.invalid(f"The results of Message Batch {batch.id} are not available")
    order = sorted(batch.items, key=lambda item: share(batch.id + item.custom_id))
    lines = [encode({"custom_id": item.custom_id, "result": item.result}) + b"\n" for item in order]
    data = b"".join(lines)
    if fault is None or not isinstance(fault.does, Break) or fault.does.how == "unknown_event":
        await exchange.send_whole(200, data, JSONL_TYPE, [])
        return
    await exchange.start(200, [JSONL_TYPE])
    await exchange.write(data[: data.rfind(b"\n", 0, len(data) // 2) + PIECE_OF_A_LINE])
    await break_stream(exchange, fault.does)


async def _enter(exchange: Exchange) -> tuple[Fault | None, bool]:
    """What every call goes through: its key, its fault and whether that was all, its place in the bucket of calls."""
    exchange.authenticate()
    exchange.entry.bucket = BATCH
    exchange.entry.batch = exchange.scope["path_params"].get("batch")
    fault = exchange.pick_fault()
    if await happens_first(exchange, fault):
        return fault, True
    simulator, entry = exchange.simulator, exchange.entry
    entry.charged = dict(simulator.buckets.admit((exchange.organization, BATCH), 0, entry.at))
    catch_up(simulator)
    return fault, False


def _check_queue(exchange: Exchange, more: int) -> None:
    simulator = exchange.simulator
    if simulator.batches.queued(exchange.organization) + more <= simulator.config.batches.queue:
        return
    waits = [batch.closes for batch in simulator.batches.open.values()] or [simulator.clock() + DAY]
    soonest = min([*waits, simulator.clock() + simulator.config.batches.seconds])
    wait = max(1, math.ceil(soonest - simulator.clock()))
    message = "This request would exceed the number of batch requests your organization may have in process."
    raise ApiError(429, message, headers={"retry-after": str(wait)})


def _new(exchange: Exchange, rows: list[tuple[str, Json]]) -> Batch:
    simulator, now = exchange.simulator, exchange.entry.at
    id_ = fresh_id("msgbatch_")
    # The last one is due after `seconds`, the others before it, in no order of the client's.
    seconds = simulator.config.batches.seconds
    shares = {custom_id: share(simulator.config.seed + custom_id) for custom_id, _ in rows}
    latest = max(shares.values())
    return Batch(
        id=id_,
        organization=exchange.organization,
        key=exchange.entry.key,
        scenario=exchange.entry.scenario,
        items=[Item(custom_id, params, now + seconds * shares[custom_id] / latest) for custom_id, params in rows],
        created=now,
        closes=now + DAY,
    )


def _found(exchange: Exchange) -> Batch:
    return exchange.simulator.batches.find(exchange.organization, exchange.scope["path_params"]["batch"])


def _shown(exchange: Exchange, batch: Batch) -> Json:
    prefix = exchange.scope["path"].partition("/v1/")[0]
    host = exchange.headers.get("host", "localhost")
    return batch.to_json(f"{exchange.scope['scheme']}://{host}{prefix}", exchange.simulator.clock())
