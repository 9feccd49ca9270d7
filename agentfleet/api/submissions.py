"""A posted document as a run to be accepted. Written out instead of modelled: it is the hot route, and it names every
fault at once. ``schemas.RunRequest`` describes the same to clients; a test holds them together.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from pydantic import ValidationError
from starlette.requests import Request

from agentfleet.agents.agent import Agent
from agentfleet.api.problems import INVALID_HEADER, INVALID_REQUEST, Fault, Problem, pointer
from agentfleet.api.services import Services
from agentfleet.domain.keys import fingerprint
from agentfleet.store.runs import NewRun

FIELDS: Final = ("agent", "input", "priority", "metadata", "deadline")
PRIORITIES: Final = range(-100, 101)
MAX_DEADLINE: Final = 366 * 86_400.0
MAX_METADATA: Final = 32
MAX_METADATA_KEY: Final = 64
MAX_METADATA_VALUE: Final = 512
MAX_FAULTS: Final = 20
REQUEST_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context; anything else is ignored, as it asks."""


def new_run(request: Request, body: Mapping[str, Any], parts: Services) -> NewRun:
    """The run that ``body`` asks for; raises ``Problem`` with every fault."""
    faults = [Fault("this field is not known", pointer=pointer(name)) for name in body if name not in FIELDS]
    agent = _agent(body, parts, faults)
    text = _input(body, agent, faults)
    priority = _priority(body, faults)
    metadata = _metadata(body, faults)
    deadline = _deadline(body, faults)
    if faults or agent is None:
        raise Problem(
            INVALID_REQUEST, "; ".join(f"{f.pointer}: {f.detail}" for f in faults[:3]), errors=faults[:MAX_FAULTS]
        )
    bundle = parts.pinned[agent.name]
    value = body["input"]
    said = value if isinstance(value, str) else text
    key = request_key(request)
    return NewRun(
        agent.name,
        bundle.id,
        agent.pool,
        text,
        orjson.dumps([{"type": "text", "text": said}]).decode(),
        parts.first[agent.name],
        priority,
        metadata,
        _traceparent(request),
        _sooner(deadline, agent),
        key,
        None if key is None else fingerprint(b"POST /v1/runs", orjson.dumps(body, option=orjson.OPT_SORT_KEYS)),
    )


def request_key(request: Request) -> str | None:
    """The ``Idempotency-Key``; raises ``Problem`` (400) when there is one that cannot be one."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or REQUEST_KEY.fullmatch(given[0]) is None:
        detail = "must be sent once, with 1 to 255 printable ASCII characters"
        raise Problem(INVALID_HEADER, f"Idempotency-Key {detail}", errors=[Fault(detail, parameter="Idempotency-Key")])
    return given[0]


def _agent(body: Mapping[str, Any], parts: Services, faults: list[Fault]) -> Agent | None:
    name = body.get("agent")
    if not isinstance(name, str):
        faults.append(Fault("must be an agent's name", pointer="/agent"))
        return None
    agent = parts.ingress.registry.find(name)
    if agent is None:
        faults.append(Fault(f"there is no agent {name[:60]!r}: GET /v1/agents lists them", pointer="/agent"))
    return agent


def _input(body: Mapping[str, Any], agent: Agent | None, faults: list[Fault]) -> str:
    """The input as JSON text."""
    value = body.get("input")
    if not isinstance(value, str | dict) or (isinstance(value, str) and not value.strip()):
        faults.append(Fault("must be a text that is not blank, or a JSON object", pointer="/input"))
        return ""
    if agent is not None and agent.input_type is not None:
        try:
            agent.input_type.model_validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            faults += [Fault(one["msg"], pointer=pointer("input", *one["loc"])) for one in found]
    return orjson.dumps(value).decode()


def _priority(body: Mapping[str, Any], faults: list[Fault]) -> int:
    value = body.get("priority", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value not in PRIORITIES:
        faults.append(Fault("must be an integer from -100 to 100", pointer="/priority"))
        return 0
    return value


def _metadata(body: Mapping[str, Any], faults: list[Fault]) -> str:
    """The metadata as JSON text."""
    value = body.get("metadata", {})
    if not isinstance(value, dict) or len(cast("dict[str, Any]", value)) > MAX_METADATA:
        faults.append(Fault(f"must be an object with at most {MAX_METADATA} keys", pointer="/metadata"))
        return ""
    for key, text in cast("dict[str, Any]", value).items():
        if not 1 <= len(key) <= MAX_METADATA_KEY or not isinstance(text, str) or len(text) > MAX_METADATA_VALUE:
            faults.append(
                Fault(
                    f"keys have 1 to {MAX_METADATA_KEY} characters, values are texts of at most {MAX_METADATA_VALUE}",
                    pointer=pointer("metadata", key),
                )
            )
    return orjson.dumps(value).decode()


def _deadline(body: Mapping[str, Any], faults: list[Fault]) -> float | None:
    value = body.get("deadline")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_DEADLINE:
        faults.append(
            Fault(f"must be a number of seconds, more than 0 and at most {MAX_DEADLINE:.0f}", pointer="/deadline")
        )
        return None
    return float(value)


def _sooner(deadline: float | None, agent: Agent) -> float | None:
    """Seconds: the client's deadline or the agent's, whichever comes first."""
    own = agent.budget.deadline
    given = [seconds for seconds in (deadline, None if own is None else own.total_seconds()) if seconds is not None]
    return min(given, default=None)


def _traceparent(request: Request) -> str | None:
    value = request.headers.get("traceparent")
    return value if value is not None and TRACEPARENT.fullmatch(value) else None
