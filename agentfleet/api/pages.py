"""Lists, page by page."""

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from agentfleet.api.documents import Document, dumps

MAX_LIMIT: Final = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


def listed(request: Request, found: Sequence[Document], next_cursor: str | None) -> Response:
    """One page, with the way to the next in the body and in ``Link`` (RFC 8288)."""
    headers = {} if next_cursor is None else {"Link": _next_link(request, next_cursor)}
    return Response(dumps({"data": found, "next_cursor": next_cursor}), 200, headers, "application/json")


def _next_link(request: Request, cursor: str) -> str:
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
