"""Replays of many dead letters: those that are listed, or all that a filter means, tried dry first.

A replay in bulk holds no state but the dead letters' own. Each call brings back one bounded batch of those that are
still open and were there at the time of the dry run, so it may be repeated, interrupted and asked for by several people
at once: nothing comes back twice.
"""

from dataclasses import replace
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from agentfleet.api import cursors, documents, edits, schemas
from agentfleet.api.auth import principal
from agentfleet.api.bodies import read_model
from agentfleet.api.documents import dumps
from agentfleet.api.problems import INVALID_REQUEST, Fault, Problem
from agentfleet.api.services import services
from agentfleet.domain.keys import fingerprint
from agentfleet.domain.model import StepKind
from agentfleet.engine.replay import BULK, BULK_PRIORITY, replay_of
from agentfleet.store import audit, clusters, replays
from agentfleet.store.api_keys import Principal
from agentfleet.store.dead_letters import Filter

JSON: Final = "application/json"

router = APIRouter(tags=["dead letters"])


@router.post("/v1/dead-letters/replay", operation_id="replayDeadLetters", response_model=schemas.Replayed)
async def replay_many(request: Request) -> Response:
    """Replay those that are open, behind all other work; the others are left as they are and listed as skipped."""
    undertaker, who = services(request).ingress.undertaker, principal(request)
    asked = await read_model(request, schemas.ReplayRequest)
    wanted = list(dict.fromkeys(asked.ids))
    back = [replay_of(one, by=who.key_id) for one in wanted]
    done = set(await undertaker.bring_back(who.tenant_id, back, by=who.key_id, priority=BULK_PRIORITY))
    document = {
        "replayed": [one for one in wanted if one in done],
        "skipped": [one for one in wanted if one not in done],
    }
    return Response(dumps(document), 200, media_type=JSON)


@router.post(
    "/v1/dead-letters/replays",
    operation_id="replayByFilter",
    response_model=schemas.ReplayPlan | schemas.ReplayProgress,
)
async def replay_by_filter(request: Request) -> Response:
    """With ``dry_run``: how many dead letters are meant, what bringing them back may cost and how long it may take.
    Without: bring back the next batch of them, behind all other work; repeat it until nothing remains.
    """
    asked = await read_model(request, schemas.ReplaysRequest)
    which = _meant(asked.filter)
    document = await (_plan(request, asked, which) if asked.dry_run else _go_on(request, asked, which))
    return Response(dumps(document), 200, media_type=JSON)


async def _plan(request: Request, asked: schemas.ReplaysRequest, which: Filter) -> dict[str, Any]:
    db, who = services(request).ingress.db, principal(request)
    if which.fingerprint is not None:
        await clusters.name_kinds(db, who.tenant_id)
    found = await replays.survey(db, who.tenant_id, which, unsigned=asked.edit.instructions is not None)
    token = cursors.encode(_kind(asked, who), found.newest) if found.count and found.newest else None
    return {
        "dry_run": True,
        "count": found.count,
        "runs": found.runs,
        "unfit": found.unfit,
        "estimated_cost_usd": None if found.cost_usd is None else documents.money(found.cost_usd),
        "estimated_seconds": None if found.seconds is None else round(found.seconds, 1),
        "token": token,
    }


async def _go_on(request: Request, asked: schemas.ReplaysRequest, which: Filter) -> dict[str, Any]:
    ingress, who = services(request).ingress, principal(request)
    which = replace(which, until=_until(asked, who), unsigned=asked.edit.instructions is not None)
    rows = await replays.matching(ingress.db, who.tenant_id, which, limit=BULK)
    done: list[str] = []
    if rows:
        terms = asked.model_dump(mode="json", include={"filter", "edit"}, exclude_none=True)
        await audit.record(ingress.db, who, "dead_letter.replay_in_bulk", [orjson.dumps(terms).decode()])
        edited = asked.edit.model_dump(exclude_none=True)
        moved = {
            base: await edits.derived(ingress.bundles, base, **asked.edit.model_dump()) if edited else None
            for base in {row.bundle_id for row in rows}
        }
        back = [
            replay_of(
                str(row.id),
                by=who.key_id,
                edited=[*edited],
                kept={"filter": terms["filter"]},
                bundle_id=moved[row.bundle_id],
                name=asked.edit.model if row.kind == StepKind.REASON else None,
            )
            for row in rows
        ]
        done = await ingress.undertaker.bring_back(who.tenant_id, back, by=who.key_id, priority=BULK_PRIORITY)
    remaining = await replays.left(ingress.db, who.tenant_id, which)
    return {"dry_run": False, "replayed": done, "remaining": remaining, "token": asked.token}


def _meant(given: schemas.LetterFilter) -> Filter:
    terms = given.model_dump(exclude={"ids"})
    return Filter(ids=tuple(given.ids or ()), **terms)


def _kind(asked: schemas.ReplaysRequest, who: Principal) -> str:
    """What the token is good for: this tenant, this filter, this edit. It says how far, and carries no authority."""
    terms = asked.model_dump_json(include={"filter", "edit"}, exclude_none=True)
    return "replays-" + fingerprint(who.tenant_id.encode(), terms.encode()).hex()[:32]


def _until(asked: schemas.ReplaysRequest, who: Principal) -> str:
    """The newest dead letter that the dry run has seen."""
    try:
        until = None if asked.token is None else cursors.decode_id(_kind(asked, who), asked.token)
    except Problem:
        until = None
    if until is None:
        detail = "must be the token of a dry run with this filter and edit: ask with `dry_run: true` first"
        raise Problem(INVALID_REQUEST, f"/token: {detail}", errors=[Fault(detail, pointer="/token")])
    return until
