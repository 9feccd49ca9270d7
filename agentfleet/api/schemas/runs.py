"""Runs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from agentfleet.api import submissions
from agentfleet.api.schemas.base import Document, Dollars, Error, Id, Page
from agentfleet.api.schemas.budgets import Budget
from agentfleet.domain.states import BLOCKED_ON, RunState
from agentfleet.domain.waiting import MOST, WAITS_FOR


class RunRequest(Document):
    """A run to be accepted."""

    agent: str = Field(description="The name of one of `GET /v1/agents`.", examples=["support"])
    input: Annotated[str, Field(pattern=r"\S")] | dict[str, Any] = Field(
        description="What the agent is asked: a text, or an object of the agent's `input_schema`.",
        examples=["Where is order 17?"],
    )
    priority: int = Field(
        0,
        ge=submissions.PRIORITIES[0],
        le=submissions.PRIORITIES[-1],
        description="Larger goes first, within the tenant.",
    )
    metadata: dict[
        Annotated[str, Field(min_length=1, max_length=submissions.MAX_METADATA_KEY)],
        Annotated[str, Field(max_length=submissions.MAX_METADATA_VALUE)],
    ] = Field(
        default_factory=dict,
        max_length=submissions.MAX_METADATA,
        description="Yours; tools and answers carry it along.",
    )
    deadline: (
        Annotated[float, Field(gt=0, le=submissions.MAX_DEADLINE)]
        | Annotated[str, Field(min_length=2, pattern=r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$")]
        | None
    ) = Field(
        None,
        description="Seconds from now after which the run expires, whatever it does; or a text: `90m`, `6h`, `1d12h`.",
        examples=["6h"],
    )
    lane: Literal["batch", "direct"] | None = Field(
        None,
        description="`batch`: model calls wait for Message Batches at half the price, as far as the deadline allows; "
        "`direct`: they never do. Unless given, the agent and the deadline decide.",
    )
    parent_run_id: Id | None = Field(
        None,
        description="A run of yours that has not ended: it and those above it pay for this one, too, and when it is "
        "cancelled or expires, this one is cancelled.",
    )


class Urls(Document):
    """Where to go on, relative to this server."""

    self: str
    events: str
    steps: str
    messages: str
    result: str
    cancel: str


class Accepted(Document):
    """A run that is committed."""

    id: Id
    status: RunState = Field(description="Treat a state that you do not know as one that has not ended.")
    agent: str
    created_at: datetime
    urls: Urls


class Usage(Document):
    """What a run has consumed so far."""

    steps: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Dollars


class Expected(Document):
    """When half and nine tenths of comparable runs would have finished."""

    p50: datetime
    p90: datetime


class Waiting(Document):
    """Why a run waits, as of the answer: the run's version does not change with it."""

    blocked_on: Annotated[str, Field(json_schema_extra={"enum": [*WAITS_FOR]})] = Field(
        description="What it waits for. Treat one that you do not know as any other wait."
    )
    detail: str = Field(description="The same in a sentence: which step, which limit, which error.")
    since: datetime
    position: int | None = Field(
        ge=1,
        le=MOST,
        description="Its place among those that wait for the same, in the order in which they will be served, as far "
        f"as that is known; {MOST}: there or behind. None where there is no order, and in lists.",
    )
    expected_start: datetime | None = Field(description="An estimate. None where a human decides, and in lists.")
    expected_finish: Expected | None = Field(
        description="An estimate from the agent's recent runs. None without any, where a human decides, and in lists."
    )


class RunSummary(Accepted):
    """A run without its large documents."""

    blocked_on: Annotated[str, Field(json_schema_extra={"enum": [*BLOCKED_ON]})] | None = Field(
        description="What a waiting run waits for."
    )
    waiting: Waiting | None = Field(description="Why it waits; none while something of it runs, and when it has ended.")
    model: str
    parent_run_id: Id | None = Field(description="The run out of whose budget it spends, too; it ends with it.")
    bundle_id: str = Field(description="Names the prompt, tools, model and limits that the run keeps to its end.")
    account: str | None = Field(None, description="The provider account that answers its model calls, once one has.")
    priority: int
    metadata: dict[str, str]
    error: Error | None
    usage: Usage
    version: int = Field(description="Raised by every change; the ETag. `waiting` changes without it.")
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None = Field(
        description="When the run will be deleted, as its tenant keeps runs now. None: never, or it has not ended."
    )
    details_deleted_at: datetime | None = Field(
        description="Since when its steps, messages and events are no longer here; the run itself stays longer."
    )


class Run(RunSummary):
    """A run."""

    budget: Budget = Field(description="As of the answer, like `waiting`; of an ended run without its children.")
    input: str | dict[str, Any]
    output: Any = Field(description="Of a run that succeeded: a text, or an object of the agent's `output_schema`.")


class Result(Document):
    """The output of a run that succeeded."""

    id: Id
    status: Literal[RunState.SUCCEEDED]
    output: Any


class RunPage(Page[RunSummary]):
    """Runs, the newest first."""
