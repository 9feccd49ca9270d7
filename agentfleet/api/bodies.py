"""Reading a request's body as strict JSON."""

from typing import Any

from starlette.requests import Request

from agentfleet.api import strict_json
from agentfleet.api.problems import UNSUPPORTED_MEDIA_TYPE, Problem


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body; raises ``Problem`` (413, 415, 422)."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Problem(UNSUPPORTED_MEDIA_TYPE)
    return strict_json.parse(await request.body())
