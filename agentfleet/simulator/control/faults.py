"""/sim/faults: arm a fault, see what is armed, lift it."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentfleet.simulator.armed import Armed, Order
from agentfleet.simulator.control.replies import DONE, read, reply
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.faults import MENU
from agentfleet.simulator.state import Simulator
from agentfleet.simulator.wire import Json


class FaultControl:
    """The board of armed faults."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def show(self, _: Request) -> Response:
        """What is armed, and the menu."""
        menu = [{"name": fault.name, "says": fault.says} for fault in MENU.values()]
        return reply({"armed": [_armed(armed) for armed in self.simulator.faults.standing()], "menu": menu})

    async def arm(self, request: Request) -> Response:
        """Arm a fault for later requests: 201, 404 for a name that is not on the menu, 422 for a wrong body."""
        order = await read(request, Order)
        try:
            armed = self.simulator.faults.arm(order)
        except ApiError as error:
            raise HTTPException(error.status, error.message) from None
        return reply(_armed(armed), 201)

    async def clear(self, _: Request) -> Response:
        """Disarm everything."""
        self.simulator.faults.armed.clear()
        return Response(status_code=DONE)

    async def lift(self, request: Request) -> Response:
        """Disarm one order; also 204 when it is spent or over."""
        self.simulator.faults.lift(request.path_params["id"])
        return Response(status_code=DONE)


def _armed(armed: Armed) -> Json:
    times: Json = {"id": armed.id, "fired": armed.fired, "starts": armed.starts, "ends": armed.ends}
    return {**armed.order.model_dump(), **times}
