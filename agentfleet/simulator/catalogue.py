"""GET /v1/models and GET /v1/models/{id}."""

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.mishaps import happens_first
from agentfleet.simulator.models import CATALOGUE, model_page


async def list_models(exchange: Exchange) -> None:
    """One page of models, newest first; `lifecycle` filters, `after_id` and `before_id` page."""
    exchange.authenticate()
    if await happens_first(exchange, exchange.pick_fault()):
        return
    lifecycles = frozenset(exchange.queries("lifecycle"))
    after, before = exchange.query("after_id"), exchange.query("before_id")
    await exchange.send_json(200, model_page(lifecycles, exchange.page_limit(), after, before))


async def retrieve_model(exchange: Exchange) -> None:
    """One model, retired ones too; 404 for an unknown one."""
    exchange.authenticate()
    if await happens_first(exchange, exchange.pick_fault()):
        return
    model = exchange.scope["path_params"]["model"]
    if model not in CATALOGUE:
        raise ApiError(404, f"model: {model}")
    await exchange.send_json(200, CATALOGUE[model].to_json())
