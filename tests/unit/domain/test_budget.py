from dataclasses import astuple, fields, replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.budget import (
    CEILINGS,
    DIMENSIONS,
    LEAST_ROOM,
    Amount,
    Budget,
    CallPrice,
    Left,
    Usage,
    alerts,
    budget_from_json,
    model_call,
)

tokens = st.integers(0, 10**12)
dollars = st.decimals(0, 10**6, places=9)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, dollars)
budgets = st.builds(
    Budget,
    max_steps=st.none() | st.integers(1, 200),
    max_tool_calls=st.none() | st.integers(1, 200),
    max_cost_usd=st.none() | st.decimals("0.000001", 100, places=6),
    max_tokens=st.none() | st.integers(1, 10**6),
)
small = st.integers(0, 250)
amounts = st.builds(Amount, small, small, st.integers(0, 10**6), st.decimals(0, 200, places=6))
lefts = st.builds(
    Left,
    st.none() | small,
    st.none() | small,
    st.none() | st.integers(0, 10**6),
    st.none() | st.decimals(0, 10, places=6),
)


@given(usages, usages, usages)
def test_adding_usage_is_associative(one: Usage, two: Usage, three: Usage) -> None:
    assert (one + two) + three == one + (two + three)


@given(usages, usages)
def test_adding_usage_is_commutative_and_adds_every_field(one: Usage, two: Usage) -> None:
    assert one + two == two + one
    assert astuple(one + two) == tuple(a + b for a, b in zip(astuple(one), astuple(two), strict=True))


@given(usages)
def test_no_usage_adds_nothing(usage: Usage) -> None:
    assert usage + Usage() == Usage() + usage == usage


def test_cost_is_exact_to_the_last_digit() -> None:
    dime = Usage(cost_usd=Decimal("0.1"))
    assert (dime + dime + dime).cost_usd == Decimal("0.3")


@pytest.mark.parametrize("name", CEILINGS)
@given(value=st.integers(max_value=0))
def test_a_budget_rejects_what_is_not_positive(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"Budget\.{name} must be greater than zero"):
        replace(Budget(), **{name: value})


@pytest.mark.parametrize("cost", [0.0, -0.01, float("nan"), float("-inf"), Decimal(0), Decimal("-0.1"), Decimal("nan")])
def test_a_budget_rejects_a_cost_that_is_not_positive(cost: float | Decimal) -> None:
    with pytest.raises(ValueError, match=r"Budget\.max_cost_usd must be greater than zero"):
        Budget(max_cost_usd=cost)


@given(st.timedeltas(max_value=timedelta(0)))
def test_a_budget_rejects_a_deadline_that_has_passed(deadline: timedelta) -> None:
    with pytest.raises(ValueError, match=r"Budget\.deadline must be greater than zero"):
        Budget(deadline=deadline)


@given(budgets, st.timedeltas(min_value=timedelta(microseconds=1)))
def test_a_budget_accepts_what_is_positive(budget: Budget, deadline: timedelta) -> None:
    assert Budget(budget.max_steps, budget.max_tool_calls, budget.max_cost_usd, deadline).deadline == deadline


def test_every_ceiling_can_be_lifted() -> None:
    unlimited = Budget(**{field.name: None for field in fields(Budget)})
    assert unlimited.left(Amount(10**9, 10**9, 10**12, Decimal(10**9))) == Left()
    assert Left().lacks(Amount(10**9, 10**9, 10**12, Decimal(10**9))) is None


@pytest.mark.parametrize(
    ("budget", "used", "need", "ceiling"),
    [
        (Budget(max_steps=3), Amount(2), Amount(1), None),
        (Budget(max_steps=3), Amount(3), Amount(1), "max_steps"),
        (Budget(max_steps=3), Amount(9), Amount(0, 1), None),  # what is not needed is not missing
        (Budget(max_tool_calls=2), Amount(1, 1), Amount(1, 1), None),
        (Budget(max_tool_calls=2), Amount(1, 2), Amount(1, 1), "max_tool_calls"),
        (Budget(max_tool_calls=2), Amount(1, 2), Amount(1), None),
        (Budget(max_tokens=10), Amount(tokens=4), Amount(tokens=6), None),
        (Budget(max_tokens=10), Amount(tokens=4), Amount(tokens=7), "max_tokens"),
        (Budget(max_cost_usd=0.1), Amount(), Amount(cost_usd=Decimal("0.1")), None),
        (Budget(max_cost_usd=0.1), Amount(cost_usd=Decimal("0.0001")), Amount(cost_usd=Decimal("0.1")), "max_cost_usd"),
        (Budget(), Amount(100), Amount(1), "max_steps"),
        (Budget(1, 1), Amount(1, 1), Amount(1, 1), "max_steps"),
    ],
)
def test_where_a_ceiling_is(budget: Budget, used: Amount, need: Amount, ceiling: str | None) -> None:
    assert budget.left(used).lacks(need) == ceiling


@given(budgets, amounts, amounts, amounts)
def test_what_does_not_fit_now_does_not_fit_later(budget: Budget, used: Amount, more: Amount, need: Amount) -> None:
    if budget.left(used).lacks(need) is not None:
        assert budget.left(used + more).lacks(need) is not None


@given(budgets, amounts, amounts)
def test_a_step_that_fits_ends_within_the_ceilings(budget: Budget, used: Amount, need: Amount) -> None:
    if budget.left(used).lacks(need) is None:
        after = used + need
        for name, dimension in zip(CEILINGS, DIMENSIONS, strict=True):
            most = getattr(budget, name)
            assert most is None or getattr(need, dimension) == 0 or getattr(after, dimension) <= most


@given(lefts, lefts, amounts)
def test_who_fits_into_the_tightest_fits_into_both(one: Left, two: Left, need: Amount) -> None:
    fits_both = one.lacks(need) is None and two.lacks(need) is None
    assert (one.tightest(two).lacks(need) is None) is fits_both


prices = st.builds(CallPrice, st.decimals(0, 2, places=6), st.decimals(0, "0.01", places=7))


@given(lefts, st.integers(1, 65_536), st.integers(0, 200_000), st.none() | prices)
def test_a_call_gets_the_room_that_is_left_and_no_call_gets_less_than_half_a_sentence(
    left: Left, asked: int, prompt: int, price: CallPrice | None
) -> None:
    room, need = model_call(left, asked=asked, prompt_tokens=prompt, price=price)
    assert min(asked, LEAST_ROOM) <= room <= asked
    assert (need.steps, need.tool_calls, need.tokens) == (1, 0, prompt + room)
    assert need.cost_usd == (0 if price is None else price.prompt + room * price.per_output_token)
    if room > min(asked, LEAST_ROOM) and (price is None or price.per_output_token):
        assert replace(left, steps=None).lacks(need) is None, "room was given that is not paid for"


def test_a_call_is_shortened_to_what_its_run_can_pay_for() -> None:
    price = CallPrice(Decimal("0.01"), Decimal("0.00001"))
    room, need = model_call(Left(cost_usd=Decimal("0.05")), asked=8_192, prompt_tokens=5_000, price=price)
    assert (room, need.cost_usd) == (4_000, Decimal("0.05"))


def test_somebody_hears_of_a_ceiling_once() -> None:
    budget = Budget(max_steps=10, max_cost_usd=1)
    spent = [Amount(n, 0, 0, n * Decimal("0.1")) for n in range(11)]
    found = [alerts(budget, before, after) for before, after in pairwise(spent)]
    assert [bool(one) for one in found] == [False] * 7 + [True, False, False]
    assert found[7] == {"max_steps": "10", "max_cost_usd": "1"}


def test_tokens_are_all_but_what_was_read_from_the_cache() -> None:
    assert Usage(1, 10, 100, 1_000).work_tokens == 1_011


def test_a_budget_of_an_earlier_release_can_be_read() -> None:
    old = {"max_steps": 3, "max_tool_calls": None, "max_cost_usd": "0.5", "deadline": 60.0}
    assert budget_from_json(old) == Budget(3, None, Decimal("0.5"), timedelta(minutes=1))
