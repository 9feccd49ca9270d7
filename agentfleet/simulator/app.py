"""The routes of one simulator."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from agentfleet.simulator.catalogue import list_models, retrieve_model
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.control import control_routes
from agentfleet.simulator.count_tokens import count
from agentfleet.simulator.exchange import Endpoint
from agentfleet.simulator.messages import create
from agentfleet.simulator.state import Simulator


def create_app(config: SimulatorConfig | None = None) -> Starlette:
    """A simulator as an ASGI app; its state is `app.state.simulator`.

    Every API path also exists under /s/<scenario>/, where the scenario is a fault of the menu or `script:<name>`:
    any client gets it by its base URL alone. Faults that reset a connection need the server of `serve`.
    """
    simulator = Simulator(config or SimulatorConfig())
    app = Starlette(
        routes=[*_api_routes(simulator, ""), *control_routes(simulator), *_api_routes(simulator, "/s/{scenario}")]
    )
    app.state.simulator = simulator
    return app


def _api_routes(simulator: Simulator, prefix: str) -> list[BaseRoute]:
    return [
        Route(f"{prefix}/v1/messages", Endpoint(simulator, create), methods=["POST"]),
        Route(f"{prefix}/v1/messages/count_tokens", Endpoint(simulator, count), methods=["POST"]),
        Route(f"{prefix}/v1/models", Endpoint(simulator, list_models), methods=["GET"]),
        Route(f"{prefix}/v1/models/{{model}}", Endpoint(simulator, retrieve_model), methods=["GET"]),
    ]
