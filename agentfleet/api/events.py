"""A run's events as a stream (Server-Sent Events): the truth from Postgres, in order and without a gap, and between
them the model's words as they come, from Redis, as far as they come. Hanging up does not cancel the run.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from agentfleet.api import documents
from agentfleet.api.auth import principal
from agentfleet.api.lookup import detailed_run, own_run
from agentfleet.api.problems import INVALID_HEADER, Fault, Problem
from agentfleet.api.services import Services, services
from agentfleet.domain.states import RUN_FINAL, RunState
from agentfleet.store import reads
from agentfleet.store.database import UNAVAILABLE
from agentfleet.store.reads import Record
from agentfleet.store.runs import Seen

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment tells proxies and clients that we are alive."""
BATCH: Final = 200
MAX_SEQ: Final = 2**31 - 1
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

router = APIRouter(tags=["runs"])


@router.get("/v1/runs/{run_id}/events", operation_id="streamEvents", response_class=StreamingResponse)
async def stream_events(
    request: Request,
    run_id: str,
    after: Annotated[
        int, Query(ge=0, le=MAX_SEQ, description="Only events with a larger id. `Last-Event-ID` wins over it.")
    ] = 0,
) -> Response:
    """Every event of the run from the first on, then new ones as they happen; closed after the run's last event.

    ``event: delta`` carries no id and no promise. 204: you have seen everything, and nothing will follow.
    """
    row, parts = await own_run(request, run_id), services(request)
    seen = _last_event_id(request)
    after = after if seen is None else seen
    if row.state in RUN_FINAL and after >= row.event_seq:
        return Response(status_code=204)
    row = await detailed_run(request, run_id)
    stream = _stream(parts, principal(request).tenant_id, row, after)
    return StreamingResponse(stream, headers=HEADERS, media_type="text/event-stream")


async def _stream(parts: Services, tenant_id: str, row: Record, after: int) -> AsyncIterator[bytes]:
    wake, run_id = asyncio.Event(), str(row.id)
    yield b"retry: 1000\n\n"
    with parts.watch.on(run_id, wake) as watcher, parts.deltas.listen(run_id, wake) as ear:
        watcher.seen = Seen(row.version, row.event_seq, RunState(row.state))
        while not parts.watch.stopping:
            wake.clear()
            while ear.texts:
                yield b"event: delta\ndata: " + ear.texts.popleft() + b"\n\n"
            seen = watcher.seen
            while after < seen.event_seq:
                try:
                    rows = await reads.event_page(parts.ingress.db, tenant_id, run_id, after=after, limit=BATCH)
                except UNAVAILABLE:
                    return  # the client comes back with the last id that it has seen
                if not rows:
                    break
                for event in rows:
                    yield _frame(event)
                after = rows[-1].seq
            if seen.state in RUN_FINAL:
                return
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await wake.wait()
            except TimeoutError:
                yield b": still here\n\n"


def _frame(event: Record) -> bytes:
    """One event; its data is one line of JSON, as all that we store."""
    document = documents.dumps(documents.event(event)).decode()
    return f"id: {event.seq}\nevent: {event.type}\ndata: {document}\n\n".encode()


def _last_event_id(request: Request) -> int | None:
    given = request.headers.get("last-event-id")
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or int(given[:20]) > MAX_SEQ:
        detail = "must be the id of an event of this run"
        raise Problem(INVALID_HEADER, f"Last-Event-ID {detail}", errors=[Fault(detail, parameter="Last-Event-ID")])
    return int(given)
