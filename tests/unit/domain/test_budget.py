from dataclasses import astuple, fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.budget import Budget, Progress, Usage, ceiling_reached

tokens = st.integers(0, 10**12)
dollars = st.decimals(0, 10**6, places=9)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, dollars)
budgets = st.builds(
    Budget,
    max_steps=st.none() | st.integers(1, 200),
    max_tool_calls=st.none() | st.integers(1, 200),
    max_cost_usd=st.none() | st.decimals("0.000001", 100, places=6),
)
small = st.integers(0, 250)
progresses = st.builds(Progress, small, small, st.builds(Usage, cost_usd=st.decimals(0, 200, places=6)))


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


@pytest.mark.parametrize("name", ["max_steps", "max_tool_calls", "max_cost_usd"])
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
    spent = Progress(10**9, 10**9, Usage(cost_usd=Decimal(10**9)))
    assert ceiling_reached(unlimited, spent, more_steps=10**9, more_tool_calls=10**9) is None


@pytest.mark.parametrize(
    ("budget", "progress", "more", "ceiling"),
    [
        (Budget(max_steps=3), Progress(steps=2), {"more_steps": 1}, None),
        (Budget(max_steps=3), Progress(steps=2), {"more_steps": 2}, "max_steps"),
        (Budget(max_steps=3), Progress(steps=3), {}, None),
        (Budget(max_tool_calls=2), Progress(tool_calls=1), {"more_tool_calls": 1}, None),
        (Budget(max_tool_calls=2), Progress(tool_calls=1), {"more_tool_calls": 2}, "max_tool_calls"),
        (Budget(max_cost_usd=0.1), Progress(usage=Usage(cost_usd=Decimal("0.0999999"))), {}, None),
        (Budget(max_cost_usd=0.1), Progress(usage=Usage(cost_usd=Decimal("0.1"))), {}, "max_cost_usd"),
        (Budget(max_cost_usd=Decimal("0.1")), Progress(usage=Usage(cost_usd=Decimal(7))), {}, "max_cost_usd"),
        (Budget(), Progress(steps=99), {"more_steps": 1}, None),
        (Budget(), Progress(steps=100), {"more_steps": 1}, "max_steps"),
        (Budget(1, 1), Progress(1, 1), {"more_steps": 1, "more_tool_calls": 1}, "max_steps"),
    ],
)
def test_where_a_ceiling_is(budget: Budget, progress: Progress, more: dict[str, int], ceiling: str | None) -> None:
    assert ceiling_reached(budget, progress, **more) == ceiling


@given(budgets, progresses, progresses, small, small)
def test_a_broken_ceiling_stays_broken(
    budget: Budget, before: Progress, growth: Progress, steps: int, calls: int
) -> None:
    after = Progress(before.steps + growth.steps, before.tool_calls + growth.tool_calls, before.usage + growth.usage)
    if ceiling_reached(budget, before) is not None:
        assert ceiling_reached(budget, after, more_steps=steps, more_tool_calls=calls) is not None


@given(budgets, progresses, small, small)
def test_a_step_that_is_allowed_ends_within_the_ceilings(
    budget: Budget, progress: Progress, steps: int, calls: int
) -> None:
    if ceiling_reached(budget, progress, more_steps=steps, more_tool_calls=calls) is None:
        assert progress.steps + steps <= (budget.max_steps or 10**9)
        assert progress.tool_calls + calls <= (budget.max_tool_calls or 10**9)
        assert progress.usage.cost_usd < (budget.max_cost_usd or 10**9)
