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
from agentfleet.api.cursors import UUID
from agentfleet.api.problems import INVALID_HEADER, INVALID_REQUEST, Fault, Problem, pointer
from agentfleet.api.services import Services
from agentfleet.domain.batch import LANE, choose_lane
from agentfleet.domain.durations import parse_duration
from agentfleet.domain.keys import fingerprint
from agentfleet.store.runs import NewRun
from agentfleet.telemetry import tracing

FIELDS: Final = ("agent", "input", "priority", "metadata", "deadline", "lane", "parent_run_id")
LANES: Final = ("batch", "direct")
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
    if agent is not None:
        deadline = _sooner(deadline, agent)
    lane = _lane(body, agent, deadline, parts, faults)
    parent = _parent(body, faults)
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
        deadline,
        key,
        None if key is None else fingerprint(b"POST /v1/runs", orjson.dumps(body, option=orjson.OPT_SORT_KEYS)),
        lane,
        parent_run_id=parent,
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
    seconds = parse_duration(value) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_DEADLINE:
        problem = (
            f"must be a number of seconds, more than 0 and at most {MAX_DEADLINE:.0f}, or a text like 90m, 6h, 1d12h"
        )
        faults.append(Fault(problem, pointer="/deadline"))
        return None
    return float(seconds)


def _lane(
    body: Mapping[str, Any], agent: Agent | None, deadline: float | None, parts: Services, faults: list[Fault]
) -> str | None:
    asked, settings = body.get("lane"), parts.ingress.settings
    if asked is not None and asked not in LANES:
        faults.append(Fault("must be batch or direct, or left out: then the deadline decides", pointer="/lane"))
    if agent is None or faults:
        return None
    refused = _no_batches(agent, deadline, settings.provider)
    if asked == LANE and refused is not None:
        faults.append(Fault(refused, pointer="/lane"))
    if settings.provider != "anthropic":
        return None
    return choose_lane(deadline, asked=asked, agent=agent.batch, loose=settings.batch_min_deadline)


def _no_batches(agent: Agent, deadline: float | None, provider: str) -> str | None:
    """Why a run cannot be asked into the batch lane."""
    if deadline is None:
        return "needs a deadline, e.g. 6h: the time until which the run may wait for half the price"
    if agent.batch is False:
        return f"agent {agent.name!r} takes no part in batches (batch=False)"
    return None if provider == "anthropic" else f"the provider {provider!r} has no batches"


def _sooner(deadline: float | None, agent: Agent) -> float | None:
    """Seconds: the client's deadline or the agent's, whichever comes first."""
    own = agent.budget.deadline
    given = [seconds for seconds in (deadline, None if own is None else own.total_seconds()) if seconds is not None]
    return min(given, default=None)


def _parent(body: Mapping[str, Any], faults: list[Fault]) -> str | None:
    value = body.get("parent_run_id")
    if value is None:
        return None
    if not isinstance(value, str) or not UUID.fullmatch(value.lower()):
        faults.append(Fault("must be the id of a run", pointer="/parent_run_id"))
        return None
    return value.lower()


def _traceparent(request: Request) -> str | None:
    """What the run's spans link to: the span of its acceptance, or what the client sent, if that is valid."""
    if (here := tracing.traceparent()) is not None:
        return here
    value = request.headers.get("traceparent")
    return value if value is not None and TRACEPARENT.fullmatch(value) else None
