"""Dead letters: steps that were given up on and wait for a human, who replays or discards them."""

from enum import StrEnum
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query, Request, Response

from agentfleet.api import cursors, documents, schemas
from agentfleet.api.auth import principal
from agentfleet.api.bodies import read_object
from agentfleet.api.documents import dumps
from agentfleet.api.lookup import own_dead_letter
from agentfleet.api.pages import MAX_LIMIT, Cursor, Limit, listed
from agentfleet.api.problems import DEAD_LETTER_CLOSED, INVALID_REQUEST, Fault, Problem, pointer
from agentfleet.api.services import services
from agentfleet.store import audit, dead_letters
from agentfleet.store.reads import Record

JSON: Final = "application/json"

router = APIRouter(tags=["dead letters"])


class LetterState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@router.get("/v1/dead-letters", operation_id="listDeadLetters", response_model=schemas.DeadLetterPage)
async def list_dead_letters(
    request: Request,
    status: Annotated[LetterState | None, Query(description="Only dead letters in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The newest dead letters first."""
    rows = await dead_letters.page(
        services(request).ingress.db,
        principal(request).tenant_id,
        state=status,
        before=cursors.decode_id("dead-letters", cursor),
        limit=limit + 1,
    )
    next_cursor = cursors.encode("dead-letters", rows[limit - 1].id) if len(rows) > limit else None
    return listed(request, [documents.dead_letter(row) for row in rows[:limit]], next_cursor)


@router.post("/v1/dead-letters/replay", operation_id="replayDeadLetters", response_model=schemas.Replayed)
async def replay_many(request: Request) -> Response:
    """Replay those that are open; the others are left as they are and listed as skipped."""
    parts, who = services(request), principal(request)
    wanted = _ids(await read_object(request))
    await audit.record(parts.ingress.db, who, "dead_letter.replay", wanted)
    done = set(await parts.ingress.undertaker.replay(who.tenant_id, wanted))
    document = {
        "replayed": [one for one in wanted if one in done],
        "skipped": [one for one in wanted if one not in done],
    }
    return Response(dumps(document), 200, media_type=JSON)


@router.get("/v1/dead-letters/{dead_letter_id}", operation_id="getDeadLetter", response_model=schemas.DeadLetter)
async def get_dead_letter(request: Request, dead_letter_id: str) -> Response:
    """One dead letter."""
    return _answer(await own_dead_letter(request, dead_letter_id))


@router.post(
    "/v1/dead-letters/{dead_letter_id}/replay", operation_id="replayDeadLetter", response_model=schemas.DeadLetter
)
async def replay_one(request: Request, dead_letter_id: str) -> Response:
    """Put the step back with fresh attempts: its run goes on where it stopped. Repeating it is harmless."""
    parts, who = services(request), principal(request)
    row = await own_dead_letter(request, dead_letter_id)
    if row.state == LetterState.OPEN:
        await audit.record(parts.ingress.db, who, "dead_letter.replay", [str(row.id)])
        await parts.ingress.undertaker.replay(who.tenant_id, [str(row.id)])
        row = await own_dead_letter(request, dead_letter_id)
    return _answer(row, wanted=LetterState.REPLAYED)


@router.post(
    "/v1/dead-letters/{dead_letter_id}/discard", operation_id="discardDeadLetter", response_model=schemas.DeadLetter
)
async def discard_one(request: Request, dead_letter_id: str) -> Response:
    """Give up for good: the run ends as failed. Repeating it is harmless."""
    parts, who = services(request), principal(request)
    row = await own_dead_letter(request, dead_letter_id)
    if row.state == LetterState.OPEN:
        await audit.record(parts.ingress.db, who, "dead_letter.discard", [str(row.id)])
        await parts.ingress.undertaker.discard(who.tenant_id, str(row.id))
        row = await own_dead_letter(request, dead_letter_id)
    return _answer(row, wanted=LetterState.DISCARDED)


def _answer(row: Record, wanted: LetterState | None = None) -> Response:
    if wanted is not None and row.state != wanted:
        raise Problem(DEAD_LETTER_CLOSED, f"the dead letter is {row.state}", more={"status_of_dead_letter": row.state})
    return Response(dumps(documents.dead_letter(row)), 200, media_type=JSON)


def _ids(body: dict[str, Any]) -> list[str]:
    """The ids to replay, each once; raises ``Problem`` (422)."""
    faults = [Fault("this field is not known", pointer=pointer(name)) for name in body if name != "ids"]
    given = body.get("ids")
    ids = cast("list[Any]", given) if isinstance(given, list) else []
    if not 1 <= len(ids) <= MAX_LIMIT:
        faults.append(Fault(f"must be a list of 1 to {MAX_LIMIT} ids", pointer="/ids"))
    found = [one.lower() if isinstance(one, str) else "" for one in ids]
    faults += [
        Fault("is no id", pointer=pointer("ids", n)) for n, one in enumerate(found) if not cursors.UUID.fullmatch(one)
    ]
    if faults:
        raise Problem(INVALID_REQUEST, errors=faults[:20])
    return list(dict.fromkeys(found))
