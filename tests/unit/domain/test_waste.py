"""The arithmetic of the waste ledger."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.waste import ESTIMATED, Cause, Line, Loss, Lost, Saving, Spent, lines, total

DAY = date(2026, 11, 21)
PRICES = {"big": Decimal("0.00001"), "small": Decimal("0.000001")}


def price(usage, model, on):
    return PRICES.get(model, Decimal(0)) * sum(usage.values())


keys, models = st.sampled_from(["a", "b", "c"]), st.sampled_from(["big", "small", "unknown"])
tokens, dollars = st.integers(0, 10**9), st.decimals(0, 1_000, places=8)
spendings = st.builds(
    Spent, keys, models, models, st.just(DAY), st.integers(0, 1_000), tokens, tokens, tokens, tokens, dollars, dollars,
    dollars, dollars,
)  # fmt: skip
losses = st.builds(
    Loss, keys, models, st.just(DAY), st.sampled_from(Cause), st.integers(1, 1_000), tokens, dollars, tokens
)


@given(st.lists(spendings, max_size=8), st.lists(losses, max_size=8))
def test_lines_keep_every_dollar_and_every_token(spent, lost):
    every = lines(spent, lost, price)
    all_of_it = total(every)
    assert len({line.key for line in every}) == len(every)
    assert all_of_it.cost_usd == sum(one.cost_usd for one in spent)
    assert all_of_it.calls == sum(one.calls for one in spent)
    assert sum(one.tokens for one in all_of_it.wasted.values()) == sum(one.tokens for one in lost)
    assert sum(one.calls for one in all_of_it.wasted.values()) == sum(one.calls for one in lost)
    assert all_of_it.wasted_usd >= sum(one.cost_usd for one in lost)
    sizes = [line.cost_usd + line.estimated_usd for line in every]
    assert sizes == sorted(sizes, reverse=True)


@given(st.lists(losses, max_size=8), dollars)
def test_what_is_estimated_is_part_of_what_was_spent(lost, recorded):
    """Losses on record are shares of the record: the rest of what was wasted is what was estimated."""
    line = total([Line("x", cost_usd=recorded), *lines([], lost, price)])
    known = sum(one.cost_usd for cause, one in line.wasted.items() if cause not in ESTIMATED)
    assert line.wasted_usd == known + line.estimated_usd


def test_an_estimate_without_a_price_is_priced_by_the_usual_call():
    [line] = lines([], [Loss("a", "big", DAY, Cause.CRASHED, 4, 4_000, Decimal(0), 4_000)], price)
    assert line.wasted == {Cause.CRASHED: Lost(4, 4_000, Decimal("0.04"))}


def spent_on(model, main):
    return Spent("a", model, main, DAY, 2, 1_000, 0, 0, 0, Decimal("0.001"), Decimal(0), Decimal(0), Decimal(0))


def test_routing_is_told_at_list_prices():
    [line] = lines([spent_on("small", "big")], [], price)
    assert line.saved == {Saving.ROUTING: Decimal("0.009")}


def test_a_dearer_model_than_the_agents_own_is_told_as_a_loss():
    [line] = lines([spent_on("big", "small")], [], price)
    assert line.saved == {Saving.ROUTING: Decimal("-0.009")}


def test_a_model_without_a_price_saves_nothing_that_could_be_told():
    assert lines([spent_on("small", "unknown")], [], price)[0].saved == {}


def test_no_usage_is_no_line():
    assert lines([], [], price) == []
    assert total([]) == Line("total")
