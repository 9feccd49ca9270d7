"""The page of a run, ``/runs/{run_id}``, and its two files. Self-contained: it loads nothing from anywhere else.

The page itself tells nothing, so it needs no key; what it shows it asks of ``/v1`` with the key that its reader gives
it, which stays in that browser tab. Its paths are relative, so that a proxy may put a prefix before all of them.
"""

from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: what a model or a tool has said is shown as text, and could not run if it were not."""
HEADERS: Final = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def _page(path: str, file: str, media_type: str) -> Route:
    content = resources.files(__package__ or "").joinpath(file).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=f"{media_type}; charset=utf-8")

    return Route(path, serve, methods=["GET"], name=file)


PAGES: Final = (
    _page("/runs/{run_id}", "run.html", "text/html"),
    _page("/console/run.js", "run.js", "text/javascript"),
    _page("/console/run.css", "run.css", "text/css"),
)
