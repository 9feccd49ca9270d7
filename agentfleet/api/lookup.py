"""Finding what a path names, as its tenant."""

from datetime import datetime

from fastapi import Request

from agentfleet.api import cursors
from agentfleet.api.auth import principal
from agentfleet.api.documents import when
from agentfleet.api.problems import DETAILS_GONE, RUN_GONE, Kind, Problem, not_found
from agentfleet.api.services import services
from agentfleet.store import dead_letters, retention
from agentfleet.store.reads import Record


async def own_run(request: Request, run_id: str) -> Record:
    """The asker's run; raises ``Problem`` (404, or 410 when it was deleted)."""
    name = cursors.parse_id("run", run_id)
    row = await services(request).read_run(principal(request).tenant_id, name)
    if row is None:
        raise await _absent(request, run_id, name)
    return row


async def detailed_run(request: Request, run_id: str) -> Record:
    """The same while its steps, messages and events are there; raises ``Problem`` (410), too."""
    row = await own_run(request, run_id)
    if row.stripped_at is not None:
        raise gone(DETAILS_GONE, row, deleted_at=row.stripped_at)
    return row


async def _absent(request: Request, run_id: str, name: str) -> Problem:
    parts, tenant_id = services(request), principal(request).tenant_id
    stone = await retention.tombstone(parts.ingress.db, tenant_id, name)
    return not_found("run", run_id) if stone is None else gone(RUN_GONE, stone, deleted_at=stone.deleted_at)


def gone(kind: Kind, row: Record, *, deleted_at: datetime) -> Problem:
    """410: when it was deleted, and whether the archive has it. Where that is, is nobody's business here."""
    return Problem(
        kind,
        f"{'the run' if kind is RUN_GONE else 'what it did'} was deleted on {deleted_at:%Y-%m-%d}",
        more={
            "status_of_run": row.state,
            "finished_at": when(row.finished_at),
            "deleted_at": when(deleted_at),
            "archived": row.archived_to is not None,
        },
    )


async def own_dead_letter(request: Request, dead_letter_id: str) -> Record:
    """The asker's dead letter; raises ``Problem`` (404)."""
    name = cursors.parse_id("dead letter", dead_letter_id)
    row = await dead_letters.get(services(request).ingress.db, principal(request).tenant_id, name)
    if row is None:
        raise not_found("dead letter", dead_letter_id)
    return row
