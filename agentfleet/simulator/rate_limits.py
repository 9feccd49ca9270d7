"""GET /v1/organizations/rate_limits: the limits of the organization, so that a client need not be told.

Shapes follow https://platform.claude.com/docs/en/manage-claude/rate-limits-api. The real one asks for an admin key;
here any key of the organization will do.
"""

from agentfleet.simulator.buckets import BATCH, TOKEN_COUNT
from agentfleet.simulator.config import Limits, SimulatorConfig
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.exchange import MAX_PAGE, Exchange
from agentfleet.simulator.mishaps import happens_first
from agentfleet.simulator.models import CATALOGUE, callable_model
from agentfleet.simulator.wire import Json, derived_id

MODEL_GROUP = "model_group"


async def list_rate_limits(exchange: Exchange) -> None:
    """The groups, of one `group_type` or with one `model` if asked; `limit` and `page` page."""
    exchange.authenticate()
    if await happens_first(exchange, exchange.pick_fault()):
        return
    rows = _rows(exchange.simulator.config, exchange.organization)
    if group_type := exchange.query("group_type"):
        rows = [row for row in rows if row["group"]["type"] == group_type]
    if model := exchange.query("model"):
        card = callable_model(model)
        rows = [row for row in rows if card.id in (row["models"] or ())]
    start = _start(exchange.query("page"))
    end = start + exchange.page_limit(MAX_PAGE)
    await exchange.send_json(200, {"data": rows[start:end], "next_page": str(end) if end < len(rows) else None})


def _rows(config: SimulatorConfig, organization: str) -> list[Json]:
    groups: dict[str, list[str]] = {}
    for card in CATALOGUE.values():
        if card.lifecycle != "retired":
            groups.setdefault(card.group, []).append(card.id)
    return [
        *(
            _row(organization, MODEL_GROUP, name, _limiters(config.limits_of(organization, name)), models)
            for name, models in groups.items()
        ),
        _row(
            organization,
            BATCH,
            BATCH,
            {"requests_per_minute": config.batches.calls_per_minute, "enqueued_batch_requests": config.batches.queue},
        ),
        _row(organization, TOKEN_COUNT, TOKEN_COUNT, {"requests_per_minute": config.counts_per_minute}),
    ]


def _limiters(limits: Limits) -> dict[str, int]:
    input_type = "input_tokens_per_minute" if limits.cache_reads_count else "input_tokens_per_minute_cache_aware"
    return {
        "requests_per_minute": limits.requests_per_minute,
        input_type: limits.input_tokens_per_minute,
        "output_tokens_per_minute": limits.output_tokens_per_minute,
    }


def _row(organization: str, kind: str, name: str, limits: dict[str, int], models: list[str] | None = None) -> Json:
    group: Json = {"type": kind, "id": derived_id("rlg_", name.encode())}
    if kind == MODEL_GROUP:
        line, _, version = name.partition("-")
        group["display_name"] = f"Claude {line.capitalize()} {version}"
    return {
        "type": "rate_limit",
        "id": derived_id("rl_", organization.encode(), name.encode()),
        "group": group,
        "models": models,
        "limits": [{"type": type_, "value": value} for type_, value in limits.items()],
    }


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdigit():
        raise ApiError.invalid("page: unknown cursor")
    return int(cursor)
