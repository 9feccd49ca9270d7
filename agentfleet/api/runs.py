"""Runs: submit, read, wait, list, fetch the result, cancel."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from agentfleet.api import cursors, documents, problems, schemas
from agentfleet.api.auth import principal
from agentfleet.api.bodies import read_object
from agentfleet.api.budgets import adopt
from agentfleet.api.conditional import PRIVATE, etag, is_known, retry_after, run_headers
from agentfleet.api.documents import dumps
from agentfleet.api.lookup import own_run
from agentfleet.api.pages import Cursor, Limit, listed
from agentfleet.api.preferences import applied, wait_seconds
from agentfleet.api.problems import Problem
from agentfleet.api.services import services
from agentfleet.api.submissions import new_run
from agentfleet.api.tracing import accepting, tell
from agentfleet.api.waiting import settled_or_not
from agentfleet.api.watch import SETTLED
from agentfleet.domain.states import RunState
from agentfleet.store import audit, reads

JSON: Final = "application/json"
NO_RESULT: Final = {
    RunState.FAILED: problems.RUN_FAILED,
    RunState.CANCELLED: problems.RUN_CANCELLED,
    RunState.EXPIRED: problems.RUN_EXPIRED,
    RunState.NEEDS_REVIEW: problems.RUN_NEEDS_REVIEW,
}

router = APIRouter(tags=["runs"])


@router.post("/v1/runs", operation_id="createRun", status_code=202, response_model=schemas.Accepted)
async def create_run(request: Request) -> Response:
    """Accept a run. The 202 is sent after the commit: the run will be worked on, whatever dies from now on."""
    parts, tenant_id = services(request), principal(request).tenant_id
    with accepting(request) as span:
        run = new_run(request, await read_object(request), parts)
        await parts.ingress.bundles.save(parts.pinned[run.agent])
        if run.parent_run_id is not None:
            await adopt(request, run.parent_run_id)
        submitted = await parts.ingress.submit(tenant_id, run)
        tell(span, tenant_id, run, submitted)
    headers = {"Location": f"/v1/runs/{submitted.run_id}"}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    seconds = wait_seconds(request.headers.get("prefer"), parts.ingress.settings.max_wait)
    if seconds is None and not submitted.replayed:
        document = documents.accepted(submitted.run_id, run.agent, RunState.QUEUED, submitted.created_at)
        return Response(dumps(document), 202, {**headers, "Retry-After": "1"}, JSON)
    headers |= applied(seconds)
    row = await settled_or_not(request, submitted.run_id, seconds)
    if seconds is not None and row.state in SETTLED:
        document = await parts.document_of(row)
        return Response(dumps(document), 200, {**run_headers(row), **headers}, JSON)
    document = documents.accepted(str(row.id), row.agent, row.state, row.created_at)
    again = {"Retry-After": str(retry_after(row.state, row.age) or 1)}
    return Response(dumps(document), 202, {**headers, **again}, JSON)


@router.get("/v1/runs", operation_id="listRuns", response_model=schemas.RunPage)
async def list_runs(
    request: Request,
    status: Annotated[list[RunState] | None, Query(description="Only runs in one of these states.")] = None,
    agent: Annotated[
        str | None, Query(pattern="^[a-z][a-z0-9_-]{0,59}$", description="Only runs of this agent.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The newest runs first, without their input and output; ``waiting`` without position and expectations."""
    parts, tenant_id = services(request), principal(request).tenant_id
    rows = await reads.run_page(
        parts.ingress.db,
        tenant_id,
        states=[one.value for one in status or ()],
        agent=agent,
        before=cursors.decode_id("runs", cursor),
        limit=limit + 1,
    )
    why = await parts.explain.briefly(tenant_id, rows[:limit])
    keep = await parts.keep(tenant_id)
    found = [
        documents.run_summary(row, await parts.model_of(row.bundle_id), why.get(str(row.id)), keep)
        for row in rows[:limit]
    ]
    return listed(request, found, cursors.encode("runs", rows[limit - 1].id) if len(rows) > limit else None)


@router.get("/v1/runs/{run_id}", operation_id="getRun", response_model=schemas.Run)
async def get_run(request: Request, run_id: str) -> Response:
    """The run. ``Prefer: wait=N`` holds the answer until the run has ended, needs a human, or N seconds have passed."""
    parts = services(request)
    row = await own_run(request, run_id)
    seconds = wait_seconds(request.headers.get("prefer"), parts.ingress.settings.max_wait)
    if seconds and row.state not in SETTLED:
        row = await settled_or_not(request, str(row.id), seconds)
    headers = {**run_headers(row), **applied(seconds)}
    if is_known(request, row):
        return Response(status_code=304, headers=headers)
    document = await parts.document_of(row)
    return Response(dumps(document), 200, headers, JSON)


@router.get("/v1/runs/{run_id}/result", operation_id="getRunResult", response_model=schemas.Result)
async def get_result(request: Request, run_id: str) -> Response:
    """The output of a run that succeeded. Any other run answers with a problem that says why there is none."""
    row = await own_run(request, run_id)
    if row.state == RunState.SUCCEEDED:
        document = {"id": str(row.id), "status": row.state, "output": documents.raw(row.output)}
        return Response(dumps(document), 200, {"ETag": etag(row), "Cache-Control": PRIVATE}, JSON)
    seconds = retry_after(row.state, row.age)
    raise Problem(
        NO_RESULT.get(RunState(row.state), problems.NOT_READY),
        f"the run is {row.state}",
        headers={} if seconds is None else {"Retry-After": str(seconds)},
        more={"status_of_run": row.state, "error": documents.raw(row.error)},
    )


@router.post("/v1/runs/{run_id}/cancel", operation_id="cancelRun", status_code=202, response_model=schemas.Run)
async def cancel_run(request: Request, run_id: str) -> Response:
    """End the run at once. Repeating it is harmless; a run that ended otherwise answers 409."""
    parts, who = services(request), principal(request)
    row, done = await own_run(request, run_id), False
    if row.finished_at is None:
        await audit.record(parts.ingress.db, who, "run.cancel", [str(row.id)])
        done = await parts.ingress.canceller.cancel(str(row.id), tenant_id=who.tenant_id)
        row = await own_run(request, run_id)
    if row.state != RunState.CANCELLED:
        raise Problem(problems.RUN_ENDED, f"the run is {row.state}", more={"status_of_run": row.state})
    document = await parts.document_of(row, why=False)
    return Response(dumps(document), 202 if done else 200, run_headers(row), JSON)
