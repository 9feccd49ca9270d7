"""Holding an answer back until a run has settled."""

import asyncio

from fastapi import Request

from agentfleet.api.lookup import own_run
from agentfleet.api.services import services
from agentfleet.store.reads import Record


async def settled_or_not(request: Request, run_id: str, seconds: int | None) -> Record:
    """The run as it is when it has settled, ``seconds`` have passed, the client has hung up, or the process stops."""
    if seconds:
        waiting = asyncio.ensure_future(services(request).watch.until_settled(run_id, seconds))
        hung_up = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait((waiting, hung_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            hung_up.cancel()
            await asyncio.gather(waiting, hung_up, return_exceptions=True)
    return await own_run(request, run_id)


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection: nobody waits for the answer then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
