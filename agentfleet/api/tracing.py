"""The span of ``POST /v1/runs``: until its commit. Waiting for the run, as ``Prefer: wait`` asks, is not in it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from starlette.requests import Request

from agentfleet.api.problems import Problem
from agentfleet.engine.submit import Submitted
from agentfleet.store.runs import NewRun
from agentfleet.telemetry import attributes as a
from agentfleet.telemetry import tracing
from agentfleet.telemetry.spans import NOBODY, Span

ROUTE: Final = "POST /v1/runs"
ACCEPTED: Final = 202


@contextmanager
def accepting(request: Request) -> Generator[Span]:
    """The span, as a part of the client's trace. A ``Problem`` that passes is told by its status and code."""
    with tracing.accepting(ROUTE, request.headers) as span:
        try:
            yield span
        except Problem as problem:
            span.answer(problem.kind.status, problem.kind.code)
            raise


def tell(span: Span, tenant_id: str, run: NewRun, accepted: Submitted) -> None:
    """Tell which run it has become."""
    if span is NOBODY:
        return
    span.answer(ACCEPTED, "")
    span.set(
        {
            a.RUN_ID: accepted.run_id,
            a.AGENT: run.agent,
            a.POOL: run.pool,
            a.TENANT_ID: tenant_id,
            a.REPLAYED: accepted.replayed,
        }
    )
