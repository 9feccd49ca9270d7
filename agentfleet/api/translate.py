"""Whatever was raised, as a problem; and a problem as an answer. No exception leaves the API any other way."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from agentfleet.api import problems
from agentfleet.api.problems import Fault, Kind, Problem
from agentfleet.engine.submit import KeyReused, ParentEnded
from agentfleet.store.database import UNAVAILABLE

log = structlog.get_logger("agentfleet.api")

REQUEST_ID = "agentfleet.request_id"
"""Where the edge keeps the request's id in the ASGI scope."""
TRY_AGAIN = {"Retry-After": "1"}
MAX_INSTANCE = 500
BY_STATUS = {kind.status: kind for kind in (
    problems.BAD_REQUEST, problems.UNAUTHENTICATED, problems.NOT_FOUND, problems.METHOD_NOT_ALLOWED,
    problems.BODY_TOO_LARGE, problems.UNSUPPORTED_MEDIA_TYPE, problems.INVALID_REQUEST, problems.UNAVAILABLE,
)}  # fmt: skip


def problem_of(error: Exception) -> Problem:
    """The problem that ``error`` is answered with; what nobody expected is logged and hidden behind a 500."""
    match error:
        case Problem():
            problem = error
        case KeyReused():
            problem = Problem(problems.IDEMPOTENCY_KEY_REUSED, str(error))
        case ParentEnded():
            problem = Problem(problems.PARENT_ENDED, str(error))
        case RequestValidationError():
            faults = [_fault(found["loc"], found["msg"]) for found in error.errors()]
            problem = Problem(problems.INVALID_REQUEST, errors=faults)
        case HTTPException():
            problem = Problem(_by_status(error.status_code), headers=error.headers)
        case ClientDisconnect():
            problem = Problem(problems.BAD_REQUEST, "the client went away")
        case _ if isinstance(error, UNAVAILABLE):
            log.warning("database_unavailable", error=str(error)[:500], error_type=type(error).__name__)
            problem = Problem(problems.UNAVAILABLE, "the database cannot serve this now", headers=TRY_AGAIN)
        case _:
            log.error("request_failed", error_type=type(error).__name__, exc_info=error)
            problem = Problem(problems.INTERNAL_ERROR)
    return problem


def answer(problem: Problem, scope: Scope) -> Response:
    """The ``application/problem+json`` response."""
    kind = problem.kind
    document: dict[str, object] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": quote(scope["path"])[:MAX_INSTANCE],
        "code": kind.code,
        "request_id": scope.get(REQUEST_ID),
        **problem.more,
    }
    if problem.errors:
        document["errors"] = [fault.document() for fault in problem.errors]
    return Response(orjson.dumps(document), kind.status, problem.headers, "application/problem+json")


def _by_status(status: int) -> Kind:
    if status in BY_STATUS:
        return BY_STATUS[status]
    return problems.BAD_REQUEST if status < problems.INTERNAL_ERROR.status else problems.INTERNAL_ERROR


def _fault(loc: Sequence[Any], detail: str) -> Fault:
    """FastAPI's place of a fault: ``("query", "limit")``."""
    return Fault(detail, parameter=".".join(map(str, loc[1:])))
