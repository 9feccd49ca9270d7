"""How many workers a pool should have: what KEDA, `agentfleet dev --autoscale` and dashboards ask."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from agentfleet.api import schemas
from agentfleet.api.problems import NOT_FOUND, Problem
from agentfleet.api.schemas.autoscale import POOL
from agentfleet.api.services import services
from agentfleet.domain.errors import NotFound

JSON: Final = "application/json"

router = APIRouter(tags=["internal"])


@router.get("/internal/autoscale", operation_id="getAutoscale", response_model=schemas.Autoscale)
async def get_autoscale(
    request: Request, pool: Annotated[str | None, Query(pattern=POOL, description="Unset: this ingress' own.")] = None
) -> Response:
    """The size that a pool should have now, what decides it, and why. Decided once in a few seconds, whoever asks."""
    parts = services(request)
    try:
        found = await parts.autoscale(pool or parts.ingress.settings.pool)
    except NotFound as error:
        raise Problem(NOT_FOUND, str(error)) from error
    return Response(found.decision.encode(), 200, {"Cache-Control": "no-store"}, JSON)
