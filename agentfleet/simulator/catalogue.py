"""GET /v1/models and GET /v1/models/{id}."""

from urllib.parse import parse_qs

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.exchange import Exchange
from agentfleet.simulator.mishaps import happens_first
from agentfleet.simulator.models import CATALOGUE, model_page

DEFAULT_PAGE = 20


async def list_models(exchange: Exchange) -> None:
    """One page of models, newest first; `lifecycle` filters, `after_id` and `before_id` page."""
    exchange.authenticate()
    if await happens_first(exchange, exchange.pick_fault()):
        return
    query = parse_qs(exchange.scope["query_string"].decode())
    limit = int(query.get("limit", [str(DEFAULT_PAGE)])[0])
    lifecycles = frozenset([*query.get("lifecycle", []), *query.get("lifecycle[]", [])])
    after, before = (query.get(name, [None])[0] for name in ("after_id", "before_id"))
    await exchange.send_json(200, model_page(lifecycles, limit, after, before))


async def retrieve_model(exchange: Exchange) -> None:
    """One model, retired ones too; 404 for an unknown one."""
    exchange.authenticate()
    if await happens_first(exchange, exchange.pick_fault()):
        return
    model = exchange.scope["path_params"]["model"]
    if model not in CATALOGUE:
        raise ApiError(404, f"model: {model}")
    await exchange.send_json(200, CATALOGUE[model].to_json())
