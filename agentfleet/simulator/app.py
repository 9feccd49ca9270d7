"""The routes of one simulator."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from agentfleet.simulator.armed import EndpointName
from agentfleet.simulator.batches.endpoints import (
    batch_results,
    cancel_batch,
    create_batch,
    delete_batch,
    list_batches,
    retrieve_batch,
)
from agentfleet.simulator.catalogue import list_models, retrieve_model
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.control.routes import control_routes
from agentfleet.simulator.count_tokens import count
from agentfleet.simulator.exchange import Endpoint, Handler
from agentfleet.simulator.messages import create
from agentfleet.simulator.rate_limits import list_rate_limits
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
    def route(path: str, name: EndpointName, handler: Handler, method: str = "GET") -> Route:
        return Route(f"{prefix}/v1/{path}", Endpoint(simulator, name, handler), methods=[method])

    return [
        route("messages", "messages", create, "POST"),
        route("messages/count_tokens", "count_tokens", count, "POST"),
        route("messages/batches", "batches", create_batch, "POST"),
        route("messages/batches", "batches", list_batches),
        route("messages/batches/{batch}", "batches", retrieve_batch),
        route("messages/batches/{batch}", "batches", delete_batch, "DELETE"),
        route("messages/batches/{batch}/cancel", "batches", cancel_batch, "POST"),
        route("messages/batches/{batch}/results", "batch_results", batch_results),
        route("models", "models", list_models),
        route("models/{model}", "models", retrieve_model),
        route("organizations/rate_limits", "rate_limits", list_rate_limits),
    ]
