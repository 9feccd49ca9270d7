"""/sim/clock, /sim/config, /sim/scripts, /sim/reset: what holds from now on."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentfleet.simulator.control.replies import DONE, read, reply
from agentfleet.simulator.scripts import Script
from agentfleet.simulator.state import Simulator


class ClockOrder(BaseModel):
    """The body of POST /sim/clock: first the speed is set, then the clock jumps."""

    model_config = ConfigDict(extra="forbid")

    speed: float | None = Field(default=None, ge=0, description="1 is real time; 0 stands still.")
    advance: float = Field(default=0, ge=0, description="Seconds to jump ahead.")


class Patch(RootModel[dict[str, Any]]):
    """A JSON merge patch of the configuration."""


class SettingsControl:
    """Time, configuration and scripts."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def clock(self, _: Request) -> Response:
        """`{"now", "speed"}`: Unix seconds, and seconds of this clock in a real second."""
        clock = self.simulator.clock
        return reply({"now": clock(), "speed": clock.speed})

    async def move_clock(self, request: Request) -> Response:
        """Set the speed, jump ahead, or both; answers like `clock`."""
        order = await read(request, ClockOrder)
        if order.speed is not None:
            self.simulator.clock.run(order.speed)
        self.simulator.clock.advance(order.advance)
        return await self.clock(request)

    async def config(self, _: Request) -> Response:
        """The configuration that holds."""
        return reply(self.simulator.config.model_dump())

    async def configure(self, request: Request) -> Response:
        """Change the configuration by a merge patch; a bucket keeps what it holds, as far as it fits."""
        patch = await read(request, Patch)
        try:
            config = self.simulator.config.patched(patch.root)
        except ValidationError as error:
            raise HTTPException(422, str(error)) from None
        self.simulator.configure(config)
        return await self.config(request)

    async def add_script(self, request: Request) -> Response:
        """Add a script, or replace the one of that name: 201, 422 for a wrong body."""
        script = await read(request, Script)
        self.simulator.scripts[script.name] = script
        return reply({"name": script.name, "turns": len(script.turns)}, 201)

    async def reset(self, _: Request) -> Response:
        """Forget everything."""
        self.simulator.reset()
        return Response(status_code=DONE)
