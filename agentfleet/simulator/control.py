"""/sim/: look at the simulator and tell it what to do. No key is asked for; serve it on loopback only."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
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

    async def health(_: Request) -> Response:
        return _json({"status": "ok"})

    async def stats(_: Request) -> Response:
        return _json(simulator.log.stats())

    async def requests(request: Request) -> Response:
        limit = int(request.query_params.get("limit", SHOWN_REQUESTS))
        return _json({"requests": simulator.log.page(limit, request.query_params.get("path"))})

    async def list_faults(_: Request) -> Response:
        menu = [{"name": fault.name, "says": fault.says} for fault in MENU.values()]
        return _json({"armed": [_armed(armed) for armed in simulator.faults.armed], "menu": menu})

    async def arm_fault(request: Request) -> Response:
        try:
            armed = simulator.faults.arm(await _read(request, Order))
        except ApiError as error:
            return _json({"error": error.message}, error.status)
        return _json(_armed(armed), 201)

    async def clear_faults(_: Request) -> Response:
        simulator.faults.armed.clear()
        return Response(status_code=204)

    async def add_script(request: Request) -> Response:
        try:
            script = await _read(request, Script)
        except ApiError as error:
            return _json({"error": error.message}, error.status)
        simulator.scripts[script.name] = script
        return _json({"name": script.name, "turns": len(script.turns)}, 201)

    async def reset(_: Request) -> Response:
        simulator.reset()
        return Response(status_code=204)

    return [
        Route("/sim/health", health),
        Route("/sim/stats", stats),
        Route("/sim/requests", requests),
        Route("/sim/faults", list_faults),
        Route("/sim/faults", arm_fault, methods=["POST"]),
        Route("/sim/faults", clear_faults, methods=["DELETE"]),
        Route("/sim/scripts", add_script, methods=["POST"]),
        Route("/sim/reset", reset, methods=["POST"]),
    ]


async def _read(request: Request, model: type[ModelT]) -> ModelT:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise ApiError(422, str(error)) from None


def _armed(armed: Armed) -> Json:
    return {**armed.order.model_dump(), "fired": armed.fired}


def _json(payload: Json, status: int = 200) -> Response:
    return Response(encode(payload), status_code=status, media_type="application/json")
