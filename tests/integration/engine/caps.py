"""Caps, and what was spent under them."""

import json

from agentfleet.domain.budget import Budget
from agentfleet.store import budgets
from tests.factories import TENANT, execute, submit
from tests.scripted import answer, ask_for

TURNS = [ask_for("look", "book", "pay"), ask_for("look"), answer("all done")]
"""7 steps, 4 of them tool calls, 3 model calls."""
USED = "SELECT used_steps, used_tool_calls, used_tokens, used_cost_usd, held_steps, held_cost_usd FROM budgets"


def cap_day(url, **ceilings):
    execute(
        url,
        "INSERT INTO tenants (id, daily_budget) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET daily_budget = excluded.daily_budget",
        TENANT,
        json.dumps(ceilings),
    )


async def raise_budget(db, run_id, **ceilings):
    assert await budgets.change(db, TENANT, run_id, Budget(**ceilings), version=None)


async def child_of(db, parent, budget=None, **changes):
    """A run that spends from ``parent``, as the ingress accepts it."""
    await budgets.open_run(db, TENANT, parent.run_id, budget or Budget())
    return await submit(db, parent_run_id=parent.run_id, **changes)


def row(url, run_id=None):
    [found] = execute(url, f"{USED} WHERE run_id IS NOT DISTINCT FROM %s", run_id)
    return found
