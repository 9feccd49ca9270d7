"""What a run did."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agentfleet.api.schemas.base import Document, Dollars, Error, Id, Page
from agentfleet.domain.model import StepKind
from agentfleet.domain.states import StepState


class Attempt(Document):
    """One ended try at a step."""

    attempt: int = Field(description="Attempts spent, this one included; waiting for the provider spends none.")
    fence: int = Field(description="Raised by every claim: the order of the tries.")
    outcome: str
    verdict: str | None
    error: Error | None
    worker: str | None
    release: str | None = Field(description="AGENTFLEET_RELEASE of the worker; null when the worker died.")
    request_id: str | None = Field(description="The provider's.")
    dispatched_at: datetime | None
    claimed_at: datetime
    finished_at: datetime
    usage: dict[str, Any] | None = Field(description="As the provider reported it.")
    cost_usd: Dollars


class Step(Document):
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


class Message(Document):
    """One part of a turn of the conversation."""

    turn: int
    part: int
    role: Literal["user", "assistant"]
    content: list[dict[str, Any]] = Field(
        description="Content blocks of the Messages API, exactly as they were sent or received."
    )
    step_id: Id | None = Field(description="The step that wrote it; none wrote the run's input.")


class Event(Document):
    """The data of one event of a run's stream; `id` is its `seq`, `event` its `type`."""

    seq: int
    type: str
    created_at: datetime
    data: dict[str, Any]


class Delta(Document):
    """The data of an `event: delta`: text of a model call that is under way. May be lost, has no id."""

    step_id: Id
    text: str


class StepPage(Page[Step]):
    """Steps, in order."""


class MessagePage(Page[Message]):
    """Messages, in order."""
