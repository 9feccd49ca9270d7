"""Usage as JSON: the same for the API and for ``agentfleet usage --json``."""

from decimal import Decimal

from agentfleet.api.documents import Document, money, when
from agentfleet.domain.waste import ESTIMATED, Cause, Line, Saving
from agentfleet.engine.usage import Report


def report(found: Report) -> Document:
    """The whole report."""
    return {
        "since": when(found.since),
        "until": when(found.until),
        "by": found.by.value,
        "total": line(found.total),
        "data": [line(one) for one in found.lines],
    }


def line(one: Line) -> Document:
    """What one key used."""
    return {
        "key": one.key,
        "calls": one.calls,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cache_read_tokens": one.cache_read_tokens,
        "cache_write_tokens": one.cache_write_tokens,
        "cost_usd": money(one.cost_usd),
        "estimated_usd": money(one.estimated_usd),
        "saved_usd": {saving.value: money(one.saved.get(saving, Decimal(0))) for saving in Saving},
        "wasted_usd": money(one.wasted_usd),
        "wasted": [
            {
                "cause": cause.value,
                "calls": one.wasted[cause].calls,
                "tokens": one.wasted[cause].tokens,
                "cost_usd": money(one.wasted[cause].cost_usd),
                "estimated": cause in ESTIMATED,
            }
            for cause in Cause
            if cause in one.wasted
        ],
    }
