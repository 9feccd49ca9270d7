"""How a dead letter's step comes back: what may be edited, and what that makes of the step, the run and its bundle.

A conversation only grows. What the model has said is bound to the instructions, the tools and all that was said before
it: changed, the provider refuses it or drops the model's reasoning
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking, "Preserving thinking blocks"). So the first
message is edited only before the model's first answer, instructions only before its first thinking block, and all else
is appended. A tool call is history, too: only what we execute for it may differ from what the model asked for.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from agentfleet.agents.bundle import bundle_id
from agentfleet.agents.registry import Registry
from agentfleet.api import schemas
from agentfleet.api.problems import EDIT_REFUSED, INVALID_REQUEST, Fault, Problem, pointer
from agentfleet.bootstrap import Ingress
from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.keys import fingerprint
from agentfleet.domain.model import Bundle, StepKind
from agentfleet.engine.replay import replay_of
from agentfleet.store.bundles import Bundles
from agentfleet.store.dead_letters import Replay, Said
from agentfleet.store.reads import Record

NAMES = ("input", "message", "model", "instructions")
MAX_RESULT = 256 * 1024
"""Bytes of a result, as of a tool's own."""


async def edited(row: Record, edit: schemas.ReplayEdit, said: Said, ingress: Ingress, *, by: str) -> Replay:
    """The replay of ``row`` with ``edit``; raises ``Problem`` (409, 422) for what cannot be."""
    kept: dict[str, Any] = {"digest": digest(edit)}
    columns: dict[str, Any] = {}
    if row.kind == StepKind.TOOL:
        if edit.message is not None:
            raise _refused("a tool's step says nothing to the model: edit its `input`, or skip it with a `result`")
        if edit.input is not None:
            columns["input"] = _call(row, arguments=_arguments(row, edit.input, ingress.registry))
    else:
        if edit.input is not None:
            columns |= _first(row, edit.input, said, ingress.registry)
            kept["input_before"] = orjson.Fragment(row.run_input)
        if edit.message is not None:
            columns |= _appended(edit.message, said)
        columns["name"] = edit.model
    if edit.instructions is not None and said.signed:
        raise _refused("the model's reasoning is bound to the instructions: append a `message` instead")
    if edit.model is not None or edit.instructions is not None:
        columns["bundle_id"] = await derived(
            ingress.bundles, row.bundle_id, model=edit.model, instructions=edit.instructions
        )
    names = [name for name in NAMES if getattr(edit, name) is not None]
    return replay_of(str(row.id), by=by, edited=names, kept=kept if names else None, **columns)


def skipped(row: Record, skip: schemas.SkipRequest, *, by: str) -> Replay:
    """``row``'s tool call with the result that a human gives; raises ``Problem`` (409, 422) for what cannot be."""
    if row.kind != StepKind.TOOL:
        raise _refused("only a tool's step has a result that can be given; replay this one, or discard it")
    text = skip.result if isinstance(skip.result, str) else orjson.dumps(skip.result).decode()
    if len(text.encode()) > MAX_RESULT:
        raise Problem(INVALID_REQUEST, errors=[Fault(f"is longer than {MAX_RESULT} bytes", pointer="/result")])
    given = {"content": text, "is_error": skip.is_error}
    kept = {"digest": digest(skip), "result": skip.result}
    return replay_of(str(row.id), by=by, skip=True, kept=kept, input=_call(row, given=given))


async def derived(bundles: Bundles, base_id: str, *, model: str | None, instructions: str | None) -> str:
    """The id of the bundle ``base_id`` with another model or other instructions, stored."""
    base = await bundles.load(base_id)
    changes = {"model": model, "instructions": instructions}
    spec = {**base.spec, **{name: value for name, value in changes.items() if value is not None}}
    bundle = Bundle(bundle_id(spec), base.agent, spec)
    await bundles.save(bundle)
    return bundle.id


def digest(edit: schemas.ReplayEdit | schemas.SkipRequest) -> str:
    """By which a request that is repeated is known again."""
    return fingerprint(type(edit).__name__.encode(), edit.model_dump_json().encode()).hex()[:16]


def _call(row: Record, **changes: Any) -> str:
    """The input of a tool's step, changed."""
    call = {key: value for key, value in json.loads(row.input).items() if key != "given"}
    return json.dumps({**call, **changes}, ensure_ascii=False)  # not orjson: integers beyond 64 bits


def _arguments(row: Record, value: str | Mapping[str, Any], registry: Registry) -> Mapping[str, Any]:
    if isinstance(value, str):
        raise Problem(INVALID_REQUEST, errors=[Fault("must be an object: the tool's arguments", pointer="/input")])
    agent = registry.find(row.agent)
    tool = None if agent is None or row.effect is None else agent.find_tool(row.name)
    try:
        if tool is not None:
            tool.parse(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        faults = [Fault(one["msg"], pointer=pointer("input", *one["loc"])) for one in found]
        raise Problem(INVALID_REQUEST, errors=faults[:20]) from None
    return value


def _first(row: Record, value: str | Mapping[str, Any], said: Said, registry: Registry) -> dict[str, Any]:
    if said.answered:
        raise _refused("the model has answered the run's input: append a `message` instead")
    if isinstance(value, str) and not value.strip():
        raise Problem(INVALID_REQUEST, errors=[Fault("must not be blank", pointer="/input")])
    agent = registry.find(row.agent)
    try:
        if agent is not None:
            agent.check_input(value)
    except InvalidInput as error:
        raise Problem(INVALID_REQUEST, errors=[Fault(error.problem, pointer="/input")]) from None
    text = orjson.dumps(value).decode()
    return {"run_input": text, "first": _block(value if isinstance(value, str) else text)}


def _appended(message: str, said: Said) -> dict[str, Any]:
    if said.role != "user":
        raise _refused("the model has paused in the middle of its turn: nothing can be said before it goes on")
    return {"message": _block(message), "message_turn": said.turn, "message_part": said.part + 1}


def _block(text: str) -> str:
    return orjson.dumps([{"type": "text", "text": text}]).decode()


def _refused(detail: str) -> Problem:
    return Problem(EDIT_REFUSED, detail)
