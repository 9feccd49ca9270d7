"""What a call costs: a table by model, date and length of the prompt. Usage is stored raw: a wrong row can be mended.

US dollars per million tokens, from https://platform.claude.com/docs/en/about-claude/pricing and the release notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Any

import structlog

from agentfleet.domain.budget import CallPrice

_log = structlog.get_logger("agentfleet.provider")

_MILLION = Decimal(1_000_000)
_SEARCH = Decimal("0.01")
"""One web search."""
_US_ONLY = Decimal("1.1")
"""Inference that must stay in the US."""
_BATCH = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model from a day on, for prompts longer than ``above`` tokens."""

    model: str
    input: Decimal
    output: Decimal
    write_5m: Decimal
    write_1h: Decimal
    read: Decimal
    since: date = date.min
    above: int = 0


def _row(model: str, prices: str, since: date = date.min, above: int = 0) -> Price:
    """``prices``: input, output, cache write for 5 minutes, for 1 hour, cache read."""
    return Price(model, *map(Decimal, prices.split()), since=since, above=above)


TABLE: tuple[Price, ...] = (
    _row(
        "claude-fable-5-2", "8 40 10 16 0.80"
    ),  # cache prices are not published: the usual multiples of the input price
    _row("claude-mythos-5-2", "8 40 10 16 0.80"),  # the same
    _row("claude-fable-5-1", "10 50 12.50 20 0.25"),
    _row("claude-opus-5-5", "4 20 5 8 0.20"),
    _row("claude-opus-5", "5 25 6.25 10 0.50"),
    _row("claude-opus-4-8", "5 25 6.25 10 0.50"),
    _row("claude-opus-4-7", "5 25 6.25 10 0.50"),
    _row("claude-opus-4-6", "5 25 6.25 10 0.50"),
    _row("claude-opus-4-5", "5 25 6.25 10 0.50"),
    _row("claude-sonnet-5-5", "2 10 2.50 4 0.20"),
    _row("claude-sonnet-5-5", "2 10 2.50 4 0.10", since=date(2026, 10, 7)),
    _row("claude-sonnet-5", "2 10 2.50 4 0.20"),
    _row("claude-sonnet-4-6", "3 15 3.75 6 0.30"),
    _row("claude-sonnet-4-5", "3 15 3.75 6 0.30"),
    _row("claude-haiku-5-5", "0.10 0.50 0.125 0.20 0.01"),
    _row("claude-haiku-5-5", "0.50 2.50 0.625 1 0.05", above=100_000),
    _row("claude-haiku-4-5", "1 5 1.25 2 0.10"),
)

_BY_MODEL: Mapping[str, tuple[Price, ...]] = MappingProxyType(
    {model: tuple(rows) for model, rows in groupby(TABLE, key=lambda row: row.model)}
)


def cost(usage: Mapping[str, Any], model: str, on: date) -> Decimal:
    """US dollars for one call's raw ``usage`` on a day. An unknown model costs 0, and the log says so once."""
    read, write = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    fresh = _count(usage, "input_tokens")
    price = find_price(model, on, fresh + read + write)
    if price is None:
        _warn_once(model)
        return Decimal(0)
    write_1h = _count(usage.get("cache_creation") or {}, "ephemeral_1h_input_tokens")
    tokens = (
        fresh * price.input
        + max(write - write_1h, 0) * price.write_5m
        + write_1h * price.write_1h
        + read * price.read
        + _count(usage, "output_tokens") * price.output
    ) / _MILLION
    if usage.get("service_tier") == "batch":
        tokens *= _BATCH
    if usage.get("inference_geo") == "us":
        tokens *= _US_ONLY
    return tokens + _count(usage.get("server_tool_use") or {}, "web_search_requests") * _SEARCH


def find_price(model: str, on: date, prompt_tokens: int) -> Price | None:
    """The row in force; ``model`` may carry a release date, as in ``claude-haiku-4-5-20251001``."""
    in_force = [row for row in _rows(model) if row.since <= on and row.above < max(prompt_tokens, 1)]
    return max(in_force, key=lambda row: (row.since, row.above), default=None)


def worst_case(model: str, prompt_tokens: int, *, cached: bool) -> CallPrice | None:
    """The most that a call may cost: by the dearest row that fits, nothing read from the cache, and with ``cached`` all
    of the prompt written to it for an hour. ``None`` for an unknown model, and the log says so once.
    """
    rows = [row for row in _rows(model) if row.above < max(prompt_tokens, 1)]
    if not rows:
        _warn_once(model)
        return None
    prompt = max(max(row.input, row.write_1h if cached else row.input) for row in rows)
    return CallPrice(prompt_tokens * prompt / _MILLION, max(row.output for row in rows) / _MILLION)


def _rows(model: str) -> tuple[Price, ...]:
    name, _, suffix = model.rpartition("-")
    return _BY_MODEL.get(model) or (_BY_MODEL.get(name) if len(suffix) == 8 and suffix.isdigit() else None) or ()


def _count(usage: Mapping[str, Any], field: str) -> int:
    return int(usage.get(field) or 0)


@lru_cache(maxsize=256)
def _warn_once(model: str) -> None:
    _log.warning("price_unknown", model=model, consequence="its calls count as free, cost ceilings do not hold")
