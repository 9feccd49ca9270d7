from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agentfleet.domain.budget import CallPrice
from agentfleet.provider.prices import TABLE, cost, find_price, worst_case

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


def test_the_worst_case_reads_nothing_from_the_cache_and_keeps_all_for_an_hour() -> None:
    plain, cached = (worst_case("claude-opus-5-5", 1_000_000, cached=cached) for cached in (False, True))
    assert plain == CallPrice(Decimal(4), Decimal("0.00002"))
    assert cached == CallPrice(Decimal(8), Decimal("0.00002"))


def test_the_worst_case_of_a_model_is_its_dearest_price_that_fits_the_prompt() -> None:
    short, long = (worst_case("claude-haiku-5-5", tokens, cached=False) for tokens in (100_000, 100_001))
    assert short == CallPrice(Decimal("0.01"), Decimal("0.0000005"))
    assert long == CallPrice(Decimal("0.0500005"), Decimal("0.0000025"))


@given(
    st.sampled_from(sorted({row.model for row in TABLE})),
    st.dates(),
    st.tuples(*[st.integers(0, 200_000)] * 4),
    st.booleans(),
)
def test_no_call_costs_more_than_its_worst_case(model: str, on: date, tokens: tuple[int, ...], batch: bool) -> None:
    fresh, read, write, said = tokens
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read, "output_tokens": said,
             "cache_creation_input_tokens": write, "cache_creation": {"ephemeral_1h_input_tokens": write // 2},
             "service_tier": "batch" if batch else "standard"}  # fmt: skip
    most = worst_case(model, fresh + read + write, cached=True)
    assert most is not None
    assert cost(usage, model, on) <= most.prompt + said * most.per_output_token


def test_a_model_that_nobody_knows_has_no_worst_case() -> None:
    assert worst_case("claude-of-next-year", 1, cached=False) is None
