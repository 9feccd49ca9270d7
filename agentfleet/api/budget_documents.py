"""Budgets as JSON documents."""

from agentfleet.api import documents
from agentfleet.api.documents import Document
from agentfleet.domain.budget import Amount, Budget, Left
from agentfleet.domain.states import RUN_FINAL
from agentfleet.store.reads import Record


def of_run(row: Record, budget: Budget) -> Document:
    """A run's budget. Of a run that has ended only what it used itself: that does not change any more."""
    tokens = row.input_tokens + row.output_tokens + row.cache_write_tokens
    used, held = Amount(row.steps_total - row.open_steps, row.tool_calls, tokens, row.cost_usd), Amount()
    if row.tree_used_steps is not None and row.state not in RUN_FINAL:
        used = Amount(row.tree_used_steps, row.tree_used_tool_calls, row.tree_used_tokens, row.tree_used_cost_usd)
        held = Amount(row.tree_held_steps, row.tree_held_tool_calls, row.tree_held_tokens, row.tree_held_cost_usd)
    return state(budget, used, held)


def state(budget: Budget, used: Amount, held: Amount) -> Document:
    """A budget as clients see it."""
    return {
        "max": amounts(budget.left(Amount())),
        "used": amounts(used),
        "held": amounts(held),
        "remaining": amounts(budget.left(used + held)),
    }


def amounts(of: Amount | Left) -> Document:
    """Every dimension."""
    cost = None if of.cost_usd is None else documents.money(of.cost_usd)
    return {"steps": of.steps, "tool_calls": of.tool_calls, "tokens": of.tokens, "cost_usd": cost}
