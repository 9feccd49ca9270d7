from datetime import date
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from agentfleet.provider.prices import TABLE, cost, find_price

TODAY = date(2026, 11, 21)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("model", "on", "usage", "dollars"),
    [
        ("claude-opus-5-5", TODAY, {"input_tokens": MILLION, "output_tokens": MILLION}, "24"),
        ("claude-opus-5-5", TODAY, {"cache_read_input_tokens": MILLION}, "0.20"),
        ("claude-opus-5-5", TODAY, {"cache_creation_input_tokens": MILLION}, "5"),
        (
            "claude-opus-5-5",
            TODAY,
            {"cache_creation_input_tokens": MILLION, "cache_creation": {"ephemeral_1h_input_tokens": MILLION // 2}},
            "6.5",
        ),
        ("claude-sonnet-5-5", date(2026, 10, 6), {"cache_read_input_tokens": MILLION}, "0.20"),
        ("claude-sonnet-5-5", date(2026, 10, 7), {"cache_read_input_tokens": MILLION}, "0.10"),
        ("claude-haiku-5-5", TODAY, {"input_tokens": 100_000}, "0.01"),
        ("claude-haiku-5-5", TODAY, {"input_tokens": 1, "cache_read_input_tokens": 100_000}, "0.0050005"),
        ("claude-haiku-4-5-20251001", TODAY, {"input_tokens": MILLION}, "1"),
        ("claude-sonnet-5", TODAY, {"input_tokens": MILLION, "service_tier": "batch", "inference_geo": "us"}, "1.1"),
        ("claude-sonnet-5", TODAY, {"server_tool_use": {"web_search_requests": 3}, "cache_creation": None}, "0.03"),
        ("claude-sonnet-5", TODAY, {}, "0"),
    ],
)
def test_a_call_costs_what_the_price_list_says(model, on, usage, dollars):
    assert cost(usage, model, on) == Decimal(dollars)


def test_an_unknown_model_costs_nothing_and_is_logged_once():
    with capture_logs() as logs:
        assert [cost({"input_tokens": 5}, "claude-unheard-of", TODAY) for _ in range(3)] == [0, 0, 0]
    assert [(line["event"], line["model"]) for line in logs] == [("price_unknown", "claude-unheard-of")]


def test_every_model_of_the_table_has_a_price_today_and_rows_stand_together():
    models = [row.model for row in TABLE]
    assert all(find_price(model, TODAY, 1) for model in models)
    assert models == sorted(models, key=models.index)


@pytest.mark.parametrize("model", ["", "claude", "20251001", "claude-haiku-4-5-2025", "gpt"])
def test_a_name_that_only_looks_like_a_model_has_no_price(model):
    assert find_price(model, TODAY, 1) is None
