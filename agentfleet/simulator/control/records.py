"""/sim/stats, /sim/requests, /sim/early, /sim/utilisation: what has happened."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentfleet.simulator.batches.work import catch_up
from agentfleet.simulator.control.replies import number, reply
from agentfleet.simulator.log import FILTERS
from agentfleet.simulator.meter import KEPT_SECONDS
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.utilisation import utilisation

SHOWN_REQUESTS = 1000
LOOKED_BACK = 60.0  # seconds of a window that does not say since when
OF_THE_PAGE = {"limit", "since", "path"}


class RecordControl:
    """The request log and the meters of the buckets."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def health(self, _: Request) -> Response:
        """200 while it serves."""
        return reply({"status": "ok"})

    async def stats(self, _: Request) -> Response:
        """Totals of the request log."""
        catch_up(self.simulator)
        return reply(self.simulator.log.stats())

    async def requests(self, request: Request) -> Response:
        """The newest `limit` calls from `since` on, oldest first.

        `path` keeps those whose path ends with it; the name of any simple field, and `run` and `step`, keep those where
        it has that value. 422 for a field that there is not.
        """
        catch_up(self.simulator)
        query = request.query_params
        where = {name: value for name, value in query.items() if name not in OF_THE_PAGE}
        limit, since = int(number(query, "limit", SHOWN_REQUESTS)), number(query, "since", 0)
        try:
            rows = self.simulator.log.page(limit, since=since, path=query.get("path"), where=where)
        except KeyError as error:
            raise HTTPException(422, f"no field {error}; there are run, step, {', '.join(sorted(FILTERS))}") from None
        return reply({"requests": rows})

    async def early(self, request: Request) -> Response:
        """Calls that came before the retry-after their bucket had been given, by more than `grace` seconds."""
        return reply({"early": self.simulator.log.early(number(request.query_params, "grace", 0))})

    async def utilisation(self, request: Request) -> Response:
        """What was used of each limit from `since` (60 s ago) to `until` (now); 422 for an empty or a lost window."""
        now = self.simulator.clock()
        until = number(request.query_params, "until", now)
        since = number(request.query_params, "since", until - LOOKED_BACK)
        if not now - KEPT_SECONDS <= since < until <= now:
            raise HTTPException(422, f"the window must lie within the last {KEPT_SECONDS} s of the clock, at {now}")
        return reply(utilisation(self.simulator.buckets, since, until))
