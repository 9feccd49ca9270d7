"""The documents of the API as values. Fields that this version does not know are left out; new ones break nobody."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})
SETTLED: Final = ENDED | {"needs_review"}
"""Nothing more happens by itself."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Usage(_Document):
    """What a run has consumed so far."""

    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


class Expected(_Document):
    """When half and nine tenths of comparable runs would have finished."""

    p50: datetime
    p90: datetime


class Waiting(_Document):
    """Why a run waits, as of the answer. ``position`` counts from 1; lists leave it and what is expected out."""

    blocked_on: str
    detail: str
    since: datetime
    position: int | None = None
    expected_start: datetime | None = None
    expected_finish: Expected | None = None


class Amounts(_Document):
    """So much of every dimension; ``None``: there is no ceiling."""

    steps: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    cost_usd: Decimal | None = None


class Budget(_Document):
    """What may be spent, as of the answer; ``held`` is reserved for steps that run."""

    max: Amounts
    used: Amounts
    held: Amounts
    remaining: Amounts


class DayBudget(Budget):
    """What the tenant may spend in a day, in UTC."""

    day: date
    resets_at: datetime


class Budgets(_Document):
    """The tenant's budgets; ``None``: it has no cap."""

    tenant_day: DayBudget | None = None


class Run(_Document):
    """A run. What the answer to a submit and a list leave out has its default."""

    id: str
    status: str
    """Treat a state that you do not know as one that has not ended."""
    agent: str
    created_at: datetime
    blocked_on: str | None = None
    waiting: Waiting | None = None
    """None while something of it runs, and when it has ended."""
    model: str | None = None
    account: str | None = None
    """The provider account that answers its model calls, once one has."""
    metadata: dict[str, str] = {}
    error: dict[str, Any] | None = None
    usage: Usage = Usage()
    budget: Budget | None = None
    parent_run_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    """When it will be deleted; None: never, or it has not ended."""
    input: Any = None
    output: Any = None

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.status in ENDED


class Attempt(_Document):
    """One ended try at a step."""

    attempt: int
    fence: int
    outcome: str
    verdict: str | None = None
    error: dict[str, Any] | None = None
    worker: str | None = None
    release: str | None = None
    claimed_at: datetime
    finished_at: datetime
    usage: dict[str, Any] | None = None
    """As the provider reported it."""
    cost_usd: Decimal = Decimal(0)


class Step(_Document):
    """One call of the model or of a tool."""

    id: str
    seq: int
    kind: str
    name: str
    status: str
    attempt: int
    worker: str | None = None
    error: dict[str, Any] | None = None
    created_at: datetime
    claimed_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: list[Attempt] = []


class Event(_Document):
    """One event of a run. ``delta`` is text of a model call under way, ``{"step_id", "text"}``, and has no ``seq``."""

    type: str
    data: dict[str, Any]
    seq: int | None = None
    created_at: datetime | None = None


class DeadLetter(_Document):
    """A step that was given up on and waits, or waited, for a human."""

    id: str
    status: str
    run_id: str
    agent: str
    step: dict[str, Any]
    verdict: str
    error: dict[str, Any]
    fingerprint: str | None = None
    """The same for failures of one kind at one place."""
    resolution: dict[str, Any] | None = None
    """What was done about it: ``action``, ``by``, what was edited."""
    created_at: datetime
    resolved_at: datetime | None = None
    request_id: str | None = None
    """The provider's. This and what follows only ``Client.dead_letter`` tells."""
    attempts: list[Attempt] = []
    messages: list[dict[str, Any]] = []
    """The end of the conversation."""
    run: dict[str, Any] | None = None
    """Its ``status``, and what it has spent: ``steps``, ``tool_calls``, ``tokens``, ``cost_usd``."""


class Cluster(_Document):
    """Dead letters of one kind; ``error`` is the newest one's, ``cost_usd`` what their runs have spent."""

    fingerprint: str
    verdict: str
    agent: str
    kind: str
    name: str
    error: dict[str, Any]
    count: int
    runs: int
    first_seen: datetime
    last_seen: datetime
    cost_usd: Decimal
    tokens: int
    newest: list[str]


class ReplayPlan(_Document):
    """What a replay in bulk would do. ``unfit``: match, too, but cannot be edited so."""

    count: int
    runs: int
    unfit: int
    estimated_cost_usd: Decimal | None
    estimated_seconds: float | None
    token: str | None
    filter: dict[str, Any]
    edit: dict[str, str]


class ReplayProgress(_Document):
    """What one call of a replay in bulk has done: ids of dead letters."""

    replayed: list[str]
    remaining: int


class Wasted(_Document):
    """What brought nothing, for one cause. ``estimated``: nobody has told what it cost."""

    cause: str
    calls: int
    tokens: int
    cost_usd: Decimal
    estimated: bool


class UsageLine(_Document):
    """What one key used. ``saved_usd`` is by how it was saved; ``wasted_usd`` is part of cost and estimate."""

    key: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal
    estimated_usd: Decimal
    saved_usd: dict[str, Decimal]
    wasted_usd: Decimal
    wasted: list[Wasted]


class UsageReport(_Document):
    """What runs that were accepted from ``since`` to ``until`` used: the dearest line first, and all of them."""

    since: datetime
    until: datetime
    by: str
    total: UsageLine
    data: list[UsageLine]


class AgentInfo(_Document):
    """What runs can be submitted for."""

    name: str
    model: str
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
