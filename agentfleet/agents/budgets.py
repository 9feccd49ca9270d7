"""A budget as JSON, and back. Dollars are a decimal string, the deadline is in seconds."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from agentfleet.domain.budget import Budget


def budget_to_json(budget: Budget) -> dict[str, Any]:
    """Every ceiling by name; ``None`` is no ceiling."""
    return {
        "max_steps": budget.max_steps,
        "max_tool_calls": budget.max_tool_calls,
        "max_cost_usd": None if budget.max_cost_usd is None else str(budget.max_cost_usd),
        "deadline": None if budget.deadline is None else budget.deadline.total_seconds(),
    }


def budget_from_json(values: Mapping[str, Any]) -> Budget:
    """The budget that ``budget_to_json`` wrote."""
    cost, deadline = values["max_cost_usd"], values["deadline"]
    return Budget(
        max_steps=values["max_steps"],
        max_tool_calls=values["max_tool_calls"],
        max_cost_usd=None if cost is None else Decimal(cost),
        deadline=None if deadline is None else timedelta(seconds=deadline),
    )
