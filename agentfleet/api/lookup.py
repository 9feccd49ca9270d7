"""Finding what a path names, as its tenant."""

from fastapi import Request

from agentfleet.api import cursors
from agentfleet.api.auth import principal
from agentfleet.api.problems import not_found
from agentfleet.api.services import services
from agentfleet.store import dead_letters
from agentfleet.store.reads import Record


async def own_run(request: Request, run_id: str) -> Record:
    """The asker's run; raises ``Problem`` (404)."""
    name = cursors.parse_id("run", run_id)
    row = await services(request).read_run(principal(request).tenant_id, name)
    if row is None:
        raise not_found("run", run_id)
    return row


async def own_dead_letter(request: Request, dead_letter_id: str) -> Record:
    """The asker's dead letter; raises ``Problem`` (404)."""
    name = cursors.parse_id("dead letter", dead_letter_id)
    row = await dead_letters.get(services(request).ingress.db, principal(request).tenant_id, name)
    if row is None:
        raise not_found("dead letter", dead_letter_id)
    return row
