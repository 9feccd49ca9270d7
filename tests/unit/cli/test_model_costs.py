"""The models of a run, and what routing saved."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from agentfleet.cli.model_costs import by_model, saved
from agentfleet.client.models import Attempt, Step

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def call(model: str, cost: str, *, kind: str = "reason", usage: dict[str, Any] | None = None) -> Step:
    attempt = Attempt.model_construct(usage=usage, cost_usd=Decimal(cost), finished_at=NOW)
    return Step.model_construct(kind=kind, name=model, attempts=[attempt])


MILLION = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
SHORT = {"input_tokens": 10_000, "cache_read_input_tokens": 90_000, "output_tokens": 1_000}


def test_each_model_has_its_calls_and_what_they_would_have_cost_at_the_agents_own():
    steps = [call(OPUS, "24", usage=MILLION), call(HAIKU, "0.01", usage=SHORT), call(HAIKU, "0.01", usage=SHORT)]
    opus, haiku = by_model(OPUS, steps)
    assert (opus.calls, opus.cost_usd, opus.at_main_usd) == (1, 24, 24)
    assert (haiku.calls, haiku.input_tokens, haiku.output_tokens) == (2, 200_000, 2_000)
    assert haiku.at_main_usd == 2 * (Decimal("0.04") + Decimal("0.018") + Decimal("0.02"))
    assert saved([opus, haiku]) == haiku.at_main_usd - Decimal("0.02")


def test_a_dearer_stand_in_shows_as_a_loss():
    assert saved(by_model(HAIKU, [call(OPUS, "1", usage=SHORT)])) < 0


def test_tools_calls_without_usage_and_models_without_a_price_save_nothing():
    steps = [call("look", "0", kind="tool"), call(HAIKU, "0"), call(HAIKU, "0.01", usage=SHORT)]
    assert [line.calls for line in by_model("my-own-model", steps)] == [1]
    assert saved(by_model("my-own-model", steps)) == 0
