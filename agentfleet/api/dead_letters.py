"""Dead letters: steps that were given up on and wait for a human, who replays, skips or discards them."""

from dataclasses import replace
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from agentfleet.api import cursors, documents, edits, schemas
from agentfleet.api.auth import principal
from agentfleet.api.bodies import read_model
from agentfleet.api.documents import dumps
from agentfleet.api.letter_filter import LetterState, letter_filter
from agentfleet.api.lookup import own_dead_letter
from agentfleet.api.pages import Cursor, Limit, listed
from agentfleet.api.problems import DEAD_LETTER_CLOSED, Problem
from agentfleet.api.services import services
from agentfleet.store import audit, clusters, dead_letters, reads
from agentfleet.store.dead_letters import Filter, Replay
from agentfleet.store.reads import Record

JSON: Final = "application/json"
TAIL: Final = 6
"""Messages that a dead letter's own page shows: the last turn, and what led to it."""

router = APIRouter(tags=["dead letters"])
Which = Annotated[Filter, Depends(letter_filter)]


@router.get("/v1/dead-letters", operation_id="listDeadLetters", response_model=schemas.DeadLetterPage)
async def list_dead_letters(
    request: Request,
    which: Which,
    status: Annotated[LetterState | None, Query(description="Only dead letters in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The newest dead letters first."""
    rows = await dead_letters.page(
        services(request).ingress.db,
        principal(request).tenant_id,
        replace(which, state=status),
        before=cursors.decode_id("dead-letters", cursor),
        limit=limit + 1,
    )
    next_cursor = cursors.encode("dead-letters", rows[limit - 1].id) if len(rows) > limit else None
    return listed(request, [documents.dead_letter(row) for row in rows[:limit]], next_cursor)


@router.get("/v1/dead-letters/clusters", operation_id="listClusters", response_model=schemas.Clusters)
async def list_clusters(request: Request, which: Which, limit: Limit = 50) -> Response:
    """Open dead letters by kind, the largest kind first: how many, since when, what their runs have spent."""
    db, tenant_id = services(request).ingress.db, principal(request).tenant_id
    found = await clusters.clusters(db, tenant_id, replace(which, state=LetterState.OPEN), limit=limit)
    return Response(dumps({"data": [documents.cluster(one) for one in found]}), 200, media_type=JSON)


@router.get("/v1/dead-letters/{dead_letter_id}", operation_id="getDeadLetter", response_model=schemas.DeadLetterDetail)
async def get_dead_letter(request: Request, dead_letter_id: str) -> Response:
    """One dead letter with all that is known: its attempts, the end of the conversation, what its run has spent."""
    db, tenant_id = services(request).ingress.db, principal(request).tenant_id
    row = await own_dead_letter(request, dead_letter_id)
    tries = await reads.attempts_of(db, tenant_id, [row.step_id])
    said = await dead_letters.last_messages(db, tenant_id, str(row.run_id), limit=TAIL)
    return Response(dumps(documents.dead_letter_detail(row, tries, said)), 200, media_type=JSON)


@router.post(
    "/v1/dead-letters/{dead_letter_id}/replay", operation_id="replayDeadLetter", response_model=schemas.DeadLetter
)
async def replay_one(request: Request, dead_letter_id: str) -> Response:
    """Put the step back with fresh attempts, edited if the body says so: its run goes on where it stopped. Repeating it
    is harmless.
    """
    parts, who = services(request), principal(request)
    row = await own_dead_letter(request, dead_letter_id)
    edit = await read_model(request, schemas.ReplayEdit, optional=True)
    if row.state == LetterState.OPEN:
        said = await dead_letters.what_was_said(parts.ingress.db, who.tenant_id, str(row.run_id))
        row = await _bring_back(
            request, dead_letter_id, await edits.edited(row, edit, said, parts.ingress, by=who.key_id)
        )
    return _answer(row, LetterState.REPLAYED, None if edit == schemas.ReplayEdit() else edits.digest(edit))


@router.post("/v1/dead-letters/{dead_letter_id}/skip", operation_id="skipDeadLetter", response_model=schemas.DeadLetter)
async def skip_one(request: Request, dead_letter_id: str) -> Response:
    """Say what the tool returned, or would have: its run goes on with that, and the tool is not called. Repeating it is
    harmless.
    """
    row = await own_dead_letter(request, dead_letter_id)
    skip = await read_model(request, schemas.SkipRequest)
    back = edits.skipped(row, skip, by=principal(request).key_id)
    if row.state == LetterState.OPEN:
        row = await _bring_back(request, dead_letter_id, back)
    return _answer(row, LetterState.REPLAYED, edits.digest(skip))


@router.post(
    "/v1/dead-letters/{dead_letter_id}/discard", operation_id="discardDeadLetter", response_model=schemas.DeadLetter
)
async def discard_one(request: Request, dead_letter_id: str) -> Response:
    """Give up for good: the run ends as failed. Repeating it is harmless."""
    parts, who = services(request), principal(request)
    row = await own_dead_letter(request, dead_letter_id)
    if row.state == LetterState.OPEN:
        await audit.record(parts.ingress.db, who, "dead_letter.discard", [str(row.id)])
        await parts.ingress.undertaker.discard(who.tenant_id, str(row.id), by=who.key_id)
        row = await own_dead_letter(request, dead_letter_id)
    return _answer(row, LetterState.DISCARDED)


async def _bring_back(request: Request, dead_letter_id: str, back: Replay) -> Record:
    who = principal(request)
    await services(request).ingress.undertaker.bring_back(who.tenant_id, [back], by=who.key_id)
    return await own_dead_letter(request, dead_letter_id)


def _answer(row: Record, wanted: LetterState, digest: str | None = None) -> Response:
    """The dead letter as it is now; raises ``Problem`` (409) when something else was done about it."""
    done = row.state == wanted and (digest is None or orjson.loads(row.resolution or "{}").get("digest") == digest)
    if not done:
        how = orjson.loads(row.resolution)["action"] if row.resolution else "none"
        detail = f"the dead letter is {row.state}" + (", but not with this edit" if row.state == wanted else "")
        raise Problem(DEAD_LETTER_CLOSED, detail, more={"status_of_dead_letter": row.state, "action": how})
    return Response(dumps(documents.dead_letter(row)), 200, media_type=JSON)
