"""Usage."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from agentfleet.api.schemas.base import Document, Dollars
from agentfleet.domain.waste import By, Cause

Difference = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description="US dollars; negative: it cost more.")]


class Saved(Document):
    """What cost less than it might have, at list prices."""

    prompt_cache: Difference
    answer_cache: Dollars
    batch: Dollars
    routing: Difference


class Wasted(Document):
    """What brought nothing, for one cause."""

    cause: Cause = Field(description="See docs/guides/usage.md. More may come.")
    calls: int
    tokens: int
    cost_usd: Dollars
    estimated: bool = Field(description="Nobody has told what it cost: it is part of `estimated_usd`.")


class UsageLine(Document):
    """What one key used."""

    key: str
    calls: int = Field(description="Answers and beginnings of answers that were paid for.")
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Dollars
    estimated_usd: Dollars = Field(description="What was spent beside `cost_usd`, as far as it can be guessed.")
    saved_usd: Saved
    wasted_usd: Dollars = Field(description="All of `wasted`: a part of `cost_usd` and `estimated_usd`.")
    wasted: list[Wasted]


class UsageReport(Document):
    """What the runs that were accepted from `since` to `until` used."""

    since: datetime
    until: datetime
    by: By
    total: UsageLine
    data: list[UsageLine] = Field(description="The dearest first.")
