"""Tenants: what they may spend in a day, and their share of a provider that is contended."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Text, func, literal, select

from agentfleet.domain.budget import CEILINGS, Amount, Budget, budget_from_json, budget_to_json
from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.tables import budgets, tenants

UNCAPPED = Budget(max_steps=None)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, its cap for each day, and what today has used and holds."""

    id: str
    weight: Decimal
    cap: Budget
    used: Amount
    held: Amount


async def listed(db: Database) -> Sequence[Tenant]:
    """All tenants, by name."""
    day = func.to_char(func.timezone("UTC", func.agentfleet_now()), "YYYY-MM-DD", type_=Text)
    today = literal("tenant/") + tenants.c.id + literal("/") + day
    spent = [func.coalesce(budgets.c[f"{kind}_{one[4:]}"], 0) for kind in ("used", "held") for one in CEILINGS]
    query = (
        select(tenants.c.id, tenants.c.weight, tenants.c.daily_budget, *spent)
        .outerjoin(budgets, budgets.c.id == today)
        .order_by(tenants.c.id)
    )
    async with db.reading() as connection:
        rows = (await connection.execute(query)).all()
    found: Sequence[tuple[Any, ...]] = [tuple(row) for row in rows]
    return [Tenant(row[0], row[1], _cap(row[2]), Amount(*row[3:7]), Amount(*row[7:])) for row in found]


async def change(db: Database, tenant_id: str, cap: Budget, weight: Decimal) -> None:
    """Give a tenant, which is made when it is new, a cap for each day and a weight. Its steps that wait for a budget
    are looked at again at once.
    """
    document = None if cap == UNCAPPED else orjson.dumps(budget_to_json(cap)).decode()
    ceilings = {name: getattr(cap, name) for name in CEILINGS}
    await db.fetch(
        statements.CAP_TENANT, {"tenant_id": tenant_id, "daily_budget": document, "weight": weight, **ceilings}
    )


def _cap(text: str | None) -> Budget:
    return UNCAPPED if text is None else budget_from_json(json.loads(text))
