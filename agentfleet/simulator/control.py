"""/sim/: look at the simulator and tell it what to do. No key is asked for; serve it on loopback only."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agentfleet.simulator.armed import Armed, Order
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.faults import MENU
from agentfleet.simulator.scripts import Script
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.wire import Json, encode

ModelT = TypeVar("ModelT", bound=BaseModel)

SHOWN_REQUESTS = 1000


def control_routes(simulator: Simulator) -> list[BaseRoute]:
    """The control endpoints of one simulator."""
    control = Control(simulator)
    return [
        Route("/sim/health", control.health),
        Route("/sim/stats", control.stats),
        Route("/sim/requests", control.requests),
        Route("/sim/faults", control.list_faults),
        Route("/sim/faults", control.arm_fault, methods=["POST"]),
        Route("/sim/faults", control.clear_faults, methods=["DELETE"]),
        Route("/sim/scripts", control.add_script, methods=["POST"]),
        Route("/sim/reset", control.reset, methods=["POST"]),
    ]


class Control:
    """What can be asked of a running simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def health(self, _: Request) -> Response:
        """200 while it serves."""
        return _json({"status": "ok"})

    async def stats(self, _: Request) -> Response:
        """Totals of the request log."""
        return _json(self.simulator.log.stats())

    async def requests(self, request: Request) -> Response:
        """The newest `limit` calls, oldest first; `path` keeps those whose path ends with it."""
        limit = int(request.query_params.get("limit", SHOWN_REQUESTS))
        return _json({"requests": self.simulator.log.page(limit, request.query_params.get("path"))})

    async def list_faults(self, _: Request) -> Response:
        """What is armed, and the menu."""
        menu = [{"name": fault.name, "says": fault.says} for fault in MENU.values()]
        return _json({"armed": [_armed(armed) for armed in self.simulator.faults.armed], "menu": menu})

    async def arm_fault(self, request: Request) -> Response:
        """Arm a fault for later requests: 201, 404 for a name that is not on the menu, 422 for a wrong body."""
        order = await _read(request, Order)
        try:
            armed = self.simulator.faults.arm(order)
        except ApiError as error:
            raise HTTPException(error.status, error.message) from None
        return _json(_armed(armed), 201)

    async def clear_faults(self, _: Request) -> Response:
        """Disarm everything."""
        self.simulator.faults.armed.clear()
        return Response(status_code=204)

    async def add_script(self, request: Request) -> Response:
        """Add a script, or replace the one of that name: 201, 422 for a wrong body."""
        script = await _read(request, Script)
        self.simulator.scripts[script.name] = script
        return _json({"name": script.name, "turns": len(script.turns)}, 201)

    async def reset(self, _: Request) -> Response:
        """Forget everything."""
        self.simulator.reset()
        return Response(status_code=204)


async def _read(request: Request, model: type[ModelT]) -> ModelT:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(422, str(error)) from None


def _armed(armed: Armed) -> Json:
    return {**armed.order.model_dump(), "fired": armed.fired}


def _json(payload: Json, status: int = 200) -> Response:
    return Response(encode(payload), status_code=status, media_type="application/json")
