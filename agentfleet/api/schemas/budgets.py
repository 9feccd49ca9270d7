"""Budgets."""

from datetime import date, datetime

from pydantic import Field

from agentfleet.api.schemas.base import Document, Dollars


class Amounts(Document):
    """So much of every dimension; none: there is no ceiling."""

    steps: int | None
    tool_calls: int | None
    tokens: int | None = Field(description="Input, cache write and output tokens; what was read from a cache is free.")
    cost_usd: Dollars | None


class Budget(Document):
    """What may be spent, as of the answer. A step begins when its worst case fits into `remaining`."""

    max: Amounts
    used: Amounts = Field(description="By steps that are over, those of children included.")
    held: Amounts = Field(description="Reserved for steps that run, where several runs spend from the budget.")
    remaining: Amounts = Field(description="`max` without what is used and held.")


class DayBudget(Budget):
    """What a tenant may spend in a day, in UTC."""

    day: date
    resets_at: datetime


class Budgets(Document):
    """The tenant's budgets."""

    tenant_day: DayBudget | None = Field(description="None: the tenant has no cap.")


class Ceilings(Document):
    """New ceilings of a run; `null` lifts one, and one that is left out stays as it is."""

    max_steps: int | None = Field(None, gt=0, le=2**53)
    max_tool_calls: int | None = Field(None, gt=0, le=2**53)
    max_tokens: int | None = Field(None, gt=0, le=2**53)
    max_cost_usd: float | Dollars | None = Field(None, description="US dollars, more than 0 and less than 10,000,000.")


class RunChange(Document):
    """What can be changed of a run that has not ended."""

    budget: Ceilings
