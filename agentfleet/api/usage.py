"""What the tenant spent, saved and wasted."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from agentfleet.api import schemas, usage_documents
from agentfleet.api.auth import principal
from agentfleet.api.documents import dumps
from agentfleet.api.problems import invalid
from agentfleet.api.services import services
from agentfleet.domain.durations import parse_duration
from agentfleet.domain.waste import By
from agentfleet.engine.usage import LONGEST

Key = Literal[By.AGENT, By.BUNDLE, By.MODEL, By.DAY]
SHORTEST: Final = 60.0

router = APIRouter(tags=["usage"])


@router.get("/v1/usage", operation_id="getUsage", response_model=schemas.UsageReport)
async def get_usage(
    request: Request,
    since: Annotated[
        str, Query(max_length=40, description="How far back, as in `7d`, `36h` or `1d12h`: a minute to 92 days.")
    ] = "7d",
    by: Annotated[Key, Query(description="What it is added up by.")] = By.AGENT,
) -> Response:
    """What the runs that were accepted in a time spent, saved and wasted. At most ten seconds old."""
    seconds = parse_duration(since)
    if seconds is None or not SHORTEST <= seconds <= LONGEST:
        raise invalid("since", "must be a time like 7d, 36h or 1d12h, from 1m to 92d")
    report = await services(request).report_usage((principal(request).tenant_id, seconds, by))
    return Response(dumps(usage_documents.report(report)), 200, media_type="application/json")
