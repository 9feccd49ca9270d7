"""The size of a pool, and what is announced."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from agentfleet.api.schemas.base import Document, Id
from agentfleet.domain.expectations import LONGEST, MOST

POOL = r"^[a-z][a-z0-9_-]{0,39}$"
"""The name of a pool."""


class Autoscale(Document):
    """How many workers a pool should have, as of `decided_at`, and what that was made of."""

    pool: str
    desired_workers: int = Field(description="The answer, within its limits and its ramp.")
    desired_slots: float = Field(description="Slots that the work can use and the provider can answer, without a ramp.")
    demand: int = Field(description="Steps that want a slot or hold one: ready, running and due.")
    provider_slots: float | None = Field(
        description="What the provider's limits can keep busy; none: nothing is known."
    )
    binding: Literal["work", "provider", "max", "min"] = Field(description="What decides the size.")
    reason: str = Field(description="One sentence.")
    decided_at: datetime
    slots_per_worker: int
    min_workers: int
    max_workers: int
    waiting: int = Field(description="Steps that wait for a slot, or for the provider where its capacity is known.")
    running: int
    oldest_ready_seconds: float
    arrivals_per_second: float
    forecast_per_second: float = Field(description="What is expected soon; 0: nothing.")
    step_seconds: float = Field(description="For which a step holds a slot, on average.")


class ExpectationRequest(Document):
    """Announces `factor` times the usual work, from `at`, or whenever `cron` says, for `seconds`."""

    factor: float = Field(gt=0, le=MOST)
    seconds: float = Field(gt=0, le=LONGEST)
    at: AwareDatetime | None = Field(None, description="With its time zone. Either this or `cron`.")
    cron: str | None = Field(None, max_length=200, description="Minute, hour, day of month, month, day of week.")
    tz: str = Field("UTC", max_length=100, description="The time zone of `cron`, such as Europe/Berlin.")
    pool: str | None = Field(None, pattern=POOL, description="None: every pool.")
    note: str | None = Field(None, max_length=500)


class Expectation(Document):
    """An announced event."""

    id: Id
    pool: str | None
    at: datetime | None
    cron: str | None
    tz: str
    seconds: float
    factor: float
    note: str | None
    next: datetime | None = Field(description="When it begins, or has begun if it is under way; none: it is over.")


class Expectations(Document):
    """All that is announced."""

    data: list[Expectation]
