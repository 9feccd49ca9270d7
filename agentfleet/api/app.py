"""The application: its routes and its layers, from the outside in: edge, key, routing."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import request_response

from agentfleet import bootstrap
from agentfleet.api import (
    autoscale,
    budgets,
    catalogue,
    dead_letters,
    description,
    events,
    expectations,
    health,
    replays,
    runs,
    steps,
    usage,
)
from agentfleet.api.auth import Authenticated
from agentfleet.api.edge import Edge
from agentfleet.api.problems import METHOD_NOT_ALLOWED
from agentfleet.api.services import open_services
from agentfleet.api.translate import answer, problem_of
from agentfleet.console.pages import PAGES
from agentfleet.settings import Settings

ROUTERS: Final = (
    runs.router,
    steps.router,
    events.router,
    budgets.router,
    replays.router,
    usage.router,
    dead_letters.router,
    catalogue.router,
    autoscale.router,
    expectations.router,
    health.router,
)
ROUTES: Final = tuple(route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
HOT: Final = "createRun"
"""Takes nothing but the request, so there is nothing for FastAPI to solve: without that it costs a quarter less."""
API_VERSION: Final = "1"
"""Of the paths under ``/v1``: changes add, they never take away. The software's own version is in ``/v1/meta``."""
ABOUT: Final = (
    "Submit runs of Claude agents and follow them to their end. A 202 is durable. Every problem is "
    "`application/problem+json` with a stable `code`; see docs/problems.md for what to do about each."
)


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document behind ``/openapi.json``; built once."""
        if self.openapi_schema is None:
            self.openapi_schema = description.build(self)
        return self.openapi_schema


def create_app(settings: Settings, ingress: bootstrap.Ingress | None = None) -> FastAPI:
    """The API over ``ingress``; without one, the application's lifespan builds it from ``settings`` and closes it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            parts = ingress or await stack.enter_async_context(bootstrap.ingress(settings))
            app.state.services = await stack.enter_async_context(open_services(parts))
            yield

    app = _Api(
        title="agentfleet",
        version=API_VERSION,
        description=ABOUT,
        lifespan=lifespan,
        redoc_url=None,
        docs_url="/docs" if settings.public_docs else None,
        openapi_url="/openapi.json" if settings.public_docs else None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for route in ROUTES:
        if route.operation_id == HOT:
            route.app = request_response(route.endpoint)
    app.router.routes.extend([*ROUTES, *PAGES])  # included routers would be matched twice for every request
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    token = settings.internal_token
    app.add_middleware(Authenticated, token=None if token is None else token.get_secret_value())
    app.add_middleware(Edge, max_body=settings.max_body_bytes)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    """What the framework would answer in words of its own."""
    problem = problem_of(error)
    if problem.kind is METHOD_NOT_ALLOWED:
        problem.headers = {"Allow": ", ".join(sorted(_methods(request.url.path)))}
    return answer(problem, request.scope)


def _methods(path: str) -> set[str]:
    """What ``path`` knows, over all of its routes: the framework looks at one of them only."""
    return {method for route in (*ROUTES, *PAGES) if route.path_regex.match(path) for method in route.methods or ()}
