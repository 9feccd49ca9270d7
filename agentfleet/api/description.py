"""The OpenAPI 3.1 description: what FastAPI knows of the routes, and what all of them have in common."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from agentfleet.api import auth, problems, schemas
from agentfleet.api.problems import PROBLEMS, Kind

Json = dict[str, Any]

EVERYWHERE: Final = (problems.INTERNAL_ERROR, problems.UNAVAILABLE)
BEHIND_A_KEY: Final = (problems.UNAUTHENTICATED,)
WITH_BODY: Final = (
    problems.BODY_TOO_LARGE, problems.UNSUPPORTED_MEDIA_TYPE, problems.INVALID_JSON, problems.INVALID_REQUEST,
)  # fmt: skip
BY_OPERATION: Final[dict[str, tuple[Kind, ...]]] = {
    "createRun": (problems.INVALID_HEADER, problems.IDEMPOTENCY_KEY_REUSED, problems.PARENT_ENDED),
    "getRunResult": (
        problems.NOT_READY, problems.RUN_NEEDS_REVIEW, problems.RUN_FAILED, problems.RUN_CANCELLED,
        problems.RUN_EXPIRED,
    ),
    "cancelRun": (problems.RUN_ENDED,),
    "changeRun": (problems.RUN_ENDED, problems.PRECONDITION_FAILED),
    "streamEvents": (problems.INVALID_HEADER, problems.DETAILS_GONE),
    "listSteps": (problems.DETAILS_GONE,),
    "listMessages": (problems.DETAILS_GONE,),
    "replayDeadLetter": (problems.DEAD_LETTER_CLOSED, problems.EDIT_REFUSED),
    "skipDeadLetter": (problems.DEAD_LETTER_CLOSED, problems.EDIT_REFUSED),
    "discardDeadLetter": (problems.DEAD_LETTER_CLOSED,),
    "getAutoscale": (problems.NOT_FOUND,),
}  # fmt: skip
BODIES: Final = {
    "createRun": schemas.RunRequest,
    "changeRun": schemas.RunChange,
    "replayDeadLetters": schemas.ReplayRequest,
    "replayDeadLetter": schemas.ReplayEdit,
    "replayByFilter": schemas.ReplaysRequest,
    "skipDeadLetter": schemas.SkipRequest,
    "createExpectation": schemas.ExpectationRequest,
}
OPTIONAL_BODIES: Final = {"replayDeadLetter"}
MORE_MODELS: Final = (*BODIES.values(), schemas.Problem, schemas.Event, schemas.Delta)
SUCCESSES: Final[dict[str, dict[str, Json]]] = {
    "createRun": {"200": {"description": "With `Prefer: wait`: the run has settled.", "model": "Run"}},
    "getRun": {"304": {"description": "The version that `If-None-Match` names is still the newest."}},
    "cancelRun": {"200": {"description": "It had been cancelled before.", "model": "Run"}},
    "streamEvents": {"204": {"description": "Every event has been seen, and the run has ended."}},
    "getReadiness": {"503": {"description": "Not ready.", "model": "Readiness"}},
}


def _header(name: str, description: str, schema: Json | None = None) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema or {"type": "string"},
    }


WAIT: Final = _header("Prefer", "`wait=N`: hold the answer for up to N seconds until the run has settled.")
HEADERS: Final = {
    "createRun": [
        _header(
            "Idempotency-Key",
            "Repeating the request with the same key returns the same run.",
            {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        ),
        WAIT,
        _header("traceparent", "W3C Trace Context; the run's spans link to it."),
    ],
    "getRun": [WAIT, _header("If-None-Match", "An `ETag` of an earlier answer.")],
    "changeRun": [_header("If-Match", "An `ETag` of an earlier answer: only if nothing has happened since.")],
    "streamEvents": [
        _header("Last-Event-ID", "The last id that was seen.", {"type": "string", "pattern": "^[0-9]{1,10}$"})
    ],
}


def build(app: FastAPI) -> Json:
    """The OpenAPI document of ``app``."""
    found: Json = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components: Json = found.setdefault("components", {})
    found_schemas: Json = components.setdefault("schemas", {})
    _, more = models_json_schema([(m, "validation") for m in MORE_MODELS], ref_template="#/components/schemas/{model}")
    found_schemas.update(more["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        found_schemas.pop(unused, None)
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `af_...`."},
        "internal": {"type": "http", "scheme": "bearer", "description": "AGENTFLEET_INTERNAL_TOKEN of the fleet."},
    }
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return found


def _complete(path: str, operation: Json) -> None:
    name = operation["operationId"]
    scheme = "key" if path.startswith(auth.PROTECTED) else "internal" if path.startswith(auth.INTERNAL) else None
    operation["security"] = [] if scheme is None else [{scheme: []}]
    parameters: list[Json] = operation.setdefault("parameters", [])
    parameters += HEADERS.get(name, [])
    if name in BODIES:
        operation["requestBody"] = {
            "required": name not in OPTIONAL_BODIES,
            "content": {"application/json": {"schema": _ref(BODIES[name].__name__)}},
        }
    responses: Json = operation["responses"]
    responses.pop("422", None)
    for status, success in SUCCESSES.get(name, {}).items():
        responses[status] = {"description": success["description"]}
        if "model" in success:
            responses[status]["content"] = {"application/json": {"schema": _ref(success["model"])}}
    if name == "streamEvents":
        responses["200"] = {
            "description": "Server-Sent Events: `Event` documents with ids, `Delta` documents without.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    if name == "getMetrics":
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    if scheme is not None:
        _add_problems(name, path, operation, responses)


def _add_problems(name: str, path: str, operation: Json, responses: Json) -> None:
    kinds = [*EVERYWHERE, *BEHIND_A_KEY, *BY_OPERATION.get(name, ())]
    if name in BODIES:
        kinds += WITH_BODY
    elif any(parameter["in"] == "query" for parameter in operation["parameters"]):
        kinds.append(problems.INVALID_REQUEST)
    if "{" in path:
        kinds.append(problems.NOT_FOUND)
    if "{run_id}" in path:
        kinds.append(problems.RUN_GONE)
    by_status: dict[int, list[Kind]] = {}
    for kind in PROBLEMS.values():
        if kind in kinds:
            by_status.setdefault(kind.status, []).append(kind)
    for status, found in by_status.items():
        responses[str(status)] = {
            "description": " ".join(f"`{kind.code}`: {kind.title}." for kind in found),
            "content": {"application/problem+json": {"schema": _ref("Problem")}},
        }


def _ref(model: str) -> Json:
    return {"$ref": f"#/components/schemas/{model}"}
