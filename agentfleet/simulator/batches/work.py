"""The model gets to what is due. Nothing runs in the background: whoever looks at the clock calls `catch_up` first."""

import hashlib

from agentfleet.simulator.armed import Call, on_menu
from agentfleet.simulator.batch import Batch, Item
from agentfleet.simulator.batches.checks import check_params
from agentfleet.simulator.errors import TYPE_BY_STATUS, ApiError, error_body
from agentfleet.simulator.events import message_json
from agentfleet.simulator.faults import Answer, Bend, Break, Fault, Lost
from agentfleet.simulator.log import Entry
from agentfleet.simulator.models import group_of
from agentfleet.simulator.scripts import SCENARIO
from agentfleet.simulator.speech import assistant_turns, check, check_history, speak
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.usage import usage_json
from agentfleet.simulator.wire import Json, encode, fresh_id


def catch_up(simulator: Simulator) -> None:
    """Answer every request that is due by now, and end the batches that are through."""
    now = simulator.clock()
    for batch in list(simulator.batches.open.values()):
        while item := batch.next_due(now):
            _answer(simulator, batch, item)
        if batch.through(now):
            batch.close()
            del simulator.batches.open[batch.id]


def _answer(simulator: Simulator, batch: Batch, item: Item) -> None:
    raw = encode(item.params)
    entry = _entry(batch, item, raw)
    fault = _fault(simulator, batch, entry, raw)
    entry.fault = fault.name if fault else None
    if fault is not None and isinstance(fault.does, Lost):
        batch.stuck.append(item)  # it expires, or is canceled
        entry.outcome = "broken"
    else:
        item.result = _result(simulator, item.params, entry, batch.scenario, fault)
    entry.ended_at = entry.at
    simulator.log.note(entry)


def _result(simulator: Simulator, params: Json, entry: Entry, scenario: str | None, fault: Fault | None) -> Json:
    try:
        _fail(fault)
        message = _message(simulator, params, entry, scenario, fault)
    except ApiError as error:
        kind = TYPE_BY_STATUS.get(error.status, "api_error")
        entry.outcome, entry.error = "failed", error.error_code or kind
        body = error_body(kind, error.message, request_id=entry.id, error_code=error.error_code)
        return {"type": "errored", "error": body}
    entry.outcome, entry.paid = "completed", True
    return {"type": "succeeded", "message": message}


def _fail(fault: Fault | None) -> None:
    match fault.does if fault else None:
        case Answer() as answer:
            raise ApiError(answer.status, answer.message, answer.error_code)
        case Break() as mishap if mishap.how != "unknown_event":
            raise ApiError(mishap.status, "Simulated fault")
        case _:
            pass


def _message(simulator: Simulator, params: Json, entry: Entry, scenario: str | None, fault: Fault | None) -> Json:
    check_params(params)
    card, prefix = check(params)
    check_history(simulator, params, prefix)
    scope = (entry.organization, card.id)
    split = simulator.cache.split(scope, prefix, entry.at)
    turn = speak(simulator, params, prefix, scenario, fault)
    simulator.cache.store(scope, split, entry.at)
    usage = usage_json(split, turn) | {"service_tier": "batch"}
    entry.input, entry.usage, entry.stop_reason = prefix.digest.hex(), usage, turn.stop_reason
    return message_json(fresh_id("msg_"), params["model"], turn, usage)


def _entry(batch: Batch, item: Item, raw: bytes) -> Entry:
    model = item.params.get("model")
    return Entry(
        id=fresh_id("req_"),
        at=item.due,
        endpoint="batch_item",
        path=f"/v1/messages/batches/{batch.id}",
        key=batch.key,
        organization=batch.organization,
        attempt=0,
        tags={},
        scenario=batch.scenario,
        model=model if isinstance(model, str) else None,
        bucket=group_of(model) if isinstance(model, str) else None,
        turn=assistant_turns(item.params),
        body=hashlib.blake2b(raw, digest_size=8).hexdigest(),
        batch=batch.id,
        custom_id=item.custom_id,
    )


def _fault(simulator: Simulator, batch: Batch, entry: Entry, raw: bytes) -> Fault | None:
    """What is armed for the requests of batches; else what the base URL of the batch bends."""
    struck = simulator.faults.strike(Call("batch_item", entry.organization, entry.model, raw, entry.turn))
    if struck is None and batch.scenario is not None and not batch.scenario.startswith(SCENARIO):
        chosen = on_menu(batch.scenario)
        return chosen if isinstance(chosen.does, Bend) else None
    return struck
