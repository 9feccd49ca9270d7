"""Announced events: the autoscaler makes room before they begin."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from agentfleet.api import documents, schemas
from agentfleet.api.bodies import read_model
from agentfleet.api.documents import dumps
from agentfleet.api.problems import INVALID_REQUEST, Fault, Problem, not_found, pointer
from agentfleet.api.services import services
from agentfleet.domain.errors import Conflict, InvalidInput
from agentfleet.domain.expectations import Expectation
from agentfleet.store import expectations
from agentfleet.store.expectations import Announced

JSON: Final = "application/json"

router = APIRouter(tags=["internal"])


@router.post(
    "/internal/expectations", operation_id="createExpectation", response_model=schemas.Expectation, status_code=201
)
async def create_expectation(request: Request) -> Response:
    """Announce so many times the usual work, once or by a cron pattern."""
    asked = await read_model(request, schemas.ExpectationRequest)
    try:
        expectation = Expectation(**asked.model_dump())
    except InvalidInput as error:
        fault = Fault(error.problem, pointer=pointer(error.field))
        raise Problem(INVALID_REQUEST, f"{fault.pointer}: {fault.detail}", errors=[fault]) from error
    try:
        made = await expectations.add(services(request).ingress.db, expectation)
    except Conflict as error:
        raise Problem(INVALID_REQUEST, str(error), errors=[Fault(str(error))]) from error
    return Response(dumps(_document(made)), 201, media_type=JSON)


@router.get("/internal/expectations", operation_id="listExpectations", response_model=schemas.Expectations)
async def list_expectations(request: Request) -> Response:
    """All that is announced, oldest first; what is over is forgotten after a month."""
    found = await expectations.listed(services(request).ingress.db)
    return Response(dumps({"data": [_document(each) for each in found]}), 200, media_type=JSON)


@router.delete("/internal/expectations/{expectation_id}", operation_id="deleteExpectation", status_code=204)
async def delete_expectation(request: Request, expectation_id: str) -> Response:
    """Take an announcement back."""
    try:
        known = await expectations.remove(services(request).ingress.db, str(UUID(expectation_id)))
    except ValueError:
        known = False
    if not known:
        raise not_found("expectation", expectation_id)
    return Response(status_code=204)


def _document(announced: Announced) -> dict[str, Any]:
    expectation = announced.expectation
    return {
        "id": expectation.id,
        "pool": expectation.pool,
        "at": documents.when(expectation.at),
        "cron": expectation.cron,
        "tz": expectation.tz,
        "seconds": expectation.seconds,
        "factor": expectation.factor,
        "note": expectation.note,
        "next": documents.when(announced.next),
    }
