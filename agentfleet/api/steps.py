"""What a run did: its steps and their attempts, and its conversation."""

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from agentfleet.api import cursors, documents, schemas
from agentfleet.api.auth import principal
from agentfleet.api.documents import Document
from agentfleet.api.lookup import detailed_run
from agentfleet.api.pages import Cursor, Limit, listed
from agentfleet.api.services import services
from agentfleet.store import reads

router = APIRouter(tags=["runs"])


@router.get("/v1/runs/{run_id}/steps", operation_id="listSteps", response_model=schemas.StepPage)
async def list_steps(
    request: Request,
    run_id: str,
    *,
    attempts: Annotated[bool, Query(description="Add every ended attempt to its step.")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The steps of a run, in the order in which they were created."""
    run, db, tenant_id = await detailed_run(request, run_id), services(request).ingress.db, principal(request).tenant_id
    [after] = cursors.decode_numbers("steps", cursor, -1)
    rows = await reads.step_page(db, tenant_id, str(run.id), after=after, limit=limit + 1)
    found = [documents.step(row) for row in rows[:limit]]
    if attempts:
        tries: dict[str, list[Document]] = defaultdict(list)
        for row in await reads.attempts_of(db, tenant_id, [row.id for row in rows[:limit]]):
            tries[str(row.step_id)].append(documents.attempt(row))
        found = [{**step, "attempts": tries[step["id"]]} for step in found]
    return listed(request, found, cursors.encode("steps", rows[limit - 1].seq) if len(rows) > limit else None)


@router.get("/v1/runs/{run_id}/messages", operation_id="listMessages", response_model=schemas.MessagePage)
async def list_messages(request: Request, run_id: str, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The conversation of a run, exactly as it was sent to the model and received from it."""
    run, parts = await detailed_run(request, run_id), services(request)
    turn, part = cursors.decode_numbers("messages", cursor, -1, -1)
    rows = await reads.message_page(
        parts.ingress.db, principal(request).tenant_id, str(run.id), after=(turn, part), limit=limit + 1
    )
    last = rows[limit - 1] if len(rows) > limit else None
    next_cursor = None if last is None else cursors.encode("messages", last.turn, last.part)
    return listed(request, [documents.message(row) for row in rows[:limit]], next_cursor)
