"""The documents of the API as clients see them. Only ``/openapi.json`` and the tests use them: answers are written from
rows by ``documents``, and a test checks every one against its model.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from agentfleet.api import submissions
from agentfleet.domain.model import StepKind
from agentfleet.domain.states import BLOCKED_ON, RunState, StepState

Item = TypeVar("Item")
Id = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="A UUIDv7.")]
Dollars = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", description="US dollars, as a decimal text.")]
Error = Annotated[dict[str, Any], Field(description="`class` says what went wrong, `message` in words.")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class RunRequest(_Document):
    """A run to be accepted."""

    agent: str = Field(description="The name of one of `GET /v1/agents`.", examples=["support"])
    input: Annotated[str, Field(min_length=1)] | dict[str, Any] = Field(
        description="What the agent is asked: a text, or an object of the agent's `input_schema`.", examples=["Where is order 17?"]
    )
    priority: int = Field(0, ge=submissions.PRIORITIES[0], le=submissions.PRIORITIES[-1], description="Larger goes first, within the tenant.")
    metadata: dict[
        Annotated[str, Field(min_length=1, max_length=submissions.MAX_METADATA_KEY)],
        Annotated[str, Field(max_length=submissions.MAX_METADATA_VALUE)],
    ] = Field(default_factory=dict, max_length=submissions.MAX_METADATA, description="Yours; tools and answers carry it along.")
    deadline: float | None = Field(
        None, gt=0, le=submissions.MAX_DEADLINE, description="Seconds from now after which the run expires, whatever it does."
    )


class Urls(_Document):
    """Where to go on, relative to this server."""

    self: str
    events: str
    steps: str
    messages: str
    result: str
    cancel: str


class Accepted(_Document):
    """A run that is committed."""

    id: Id
    status: RunState = Field(description="Treat a state that you do not know as one that has not ended.")
    agent: str
    created_at: datetime
    urls: Urls


class Usage(_Document):
    """What a run has consumed so far."""

    steps: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Dollars


class RunSummary(Accepted):
    """A run without its large documents."""

    blocked_on: Literal[BLOCKED_ON] | None = Field(description="What a waiting run waits for.")  # pyright: ignore[reportInvalidTypeForm]  # the closed list has one home
    model: str
    bundle_id: str = Field(description="Names the prompt, tools, model and limits that the run keeps to its end.")
    priority: int
    metadata: dict[str, str]
    error: Error | None
    usage: Usage
    version: int = Field(description="Raised by every change; the ETag.")
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None


class Run(RunSummary):
    """A run."""

    input: str | dict[str, Any]
    output: Any = Field(description="Of a run that succeeded: a text, or an object of the agent's `output_schema`.")


class Result(_Document):
    """The output of a run that succeeded."""

    id: Id
    status: Literal[RunState.SUCCEEDED]
    output: Any


class Attempt(_Document):
    """One ended try at a step."""

    attempt: int = Field(description="Attempts spent, this one included; waiting for the provider spends none.")
    fence: int = Field(description="Raised by every claim: the order of the tries.")
    outcome: str
    verdict: str | None
    error: Error | None
    worker: str | None
    request_id: str | None = Field(description="The provider's.")
    dispatched_at: datetime | None
    claimed_at: datetime
    finished_at: datetime
    usage: dict[str, Any] | None = Field(description="As the provider reported it.")
    cost_usd: Dollars


class Step(_Document):
    """One call of the model or of a tool."""

    id: Id
    seq: int
    kind: StepKind
    name: str = Field(description="The model's or the tool's.")
    status: StepState
    turn: int
    part: int
    effect: Literal["read", "idempotent", "unsafe"] | None
    input: Any = Field(description="Of a tool call: its id and arguments.")
    attempt: int
    crashes: int
    snoozes: int
    worker: str | None
    error: Error | None
    created_at: datetime
    ready_at: datetime
    dispatched_at: datetime | None
    claimed_at: datetime | None
    not_before: datetime | None
    finished_at: datetime | None
    attempts: list[Attempt] = Field(default_factory=list[Attempt], description="With `attempts=true`.")


class Message(_Document):
    """One part of a turn of the conversation."""

    turn: int
    part: int
    role: Literal["user", "assistant"]
    content: list[dict[str, Any]] = Field(description="Content blocks of the Messages API, exactly as they were sent or received.")
    step_id: Id | None = Field(description="The step that wrote it; none wrote the run's input.")


class Event(_Document):
    """The data of one event of a run's stream; `id` is its `seq`, `event` its `type`."""

    seq: int
    type: str
    created_at: datetime
    data: dict[str, Any]


class Delta(_Document):
    """The data of an `event: delta`: text of a model call that is under way. May be lost, has no id."""

    step_id: Id
    text: str


class LetterStep(_Document):
    """The step that was given up on."""

    id: Id
    seq: int
    kind: StepKind
    name: str


class DeadLetter(_Document):
    """A step that was given up on and waits, or waited, for a human."""

    id: Id
    status: Literal["open", "replayed", "discarded"]
    run_id: Id
    agent: str
    step: LetterStep
    verdict: str
    error: Error
    created_at: datetime
    resolved_at: datetime | None


class ReplayRequest(_Document):
    """Dead letters to be replayed."""

    ids: list[Id] = Field(min_length=1, max_length=200)


class Replayed(_Document):
    """What became of them."""

    replayed: list[Id]
    skipped: list[Id] = Field(description="Not open, or not there.")


class ToolInfo(_Document):
    """What an agent may call."""

    name: str
    description: str
    effect: Literal["read", "idempotent", "unsafe"]
    input_schema: dict[str, Any]


class AgentInfo(_Document):
    """What runs can be submitted for."""

    name: str
    model: str
    pool: str
    bundle_id: str
    tools: list[ToolInfo]
    input_schema: dict[str, Any] | None = Field(description="What `input` must be; none: any text or object.")
    output_schema: dict[str, Any] | None = Field(description="What `output` will be; none: a text.")
    budget: dict[str, Any]


class Agents(_Document):
    """Every agent of this deployment."""

    data: list[AgentInfo]


class Meta(_Document):
    """What answers."""

    version: str
    limits: dict[str, int]


class Liveness(_Document):
    """The process answers."""

    status: Literal["ok"]


class Readiness(_Document):
    """Whether runs can be accepted, and why not."""

    status: Literal["ok", "unavailable", "stopping"]
    checks: dict[Literal["database", "schema", "redis"], str]


class _Page(_Document, Generic[Item]):
    data: list[Item]
    next_cursor: str | None = Field(description="Ask again with `cursor=` this; none: there is no more.")


class RunPage(_Page[RunSummary]):
    """Runs, the newest first."""


class StepPage(_Page[Step]):
    """Steps, in order."""


class MessagePage(_Page[Message]):
    """Messages, in order."""


class DeadLetterPage(_Page[DeadLetter]):
    """Dead letters, the newest first."""


class Fault(_Document):
    """One place that is wrong."""

    pointer: str | None = Field(None, description="JSON pointer into the body.")
    parameter: str | None = Field(None, description="Name of a query parameter or header.")
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` never changes its meaning; some problems carry more members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[Fault] = Field(default_factory=list[Fault])
