"""Dead letters, the catalogue, health."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agentfleet.api.schemas.base import Document, Error, Id, Page
from agentfleet.domain.model import StepKind


class LetterStep(Document):
    """The step that was given up on."""

    id: Id
    seq: int
    kind: StepKind
    name: str


class DeadLetter(Document):
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


class ReplayRequest(Document):
    """Dead letters to be replayed."""

    ids: list[Id] = Field(min_length=1, max_length=200)


class Replayed(Document):
    """What became of them."""

    replayed: list[Id]
    skipped: list[Id] = Field(description="Not open, or not there.")


class ToolInfo(Document):
    """What an agent may call."""

    name: str
    description: str
    effect: Literal["read", "idempotent", "unsafe"]
    input_schema: dict[str, Any]


class AgentInfo(Document):
    """What runs can be submitted for."""

    name: str
    model: str
    pool: str
    bundle_id: str
    tools: list[ToolInfo]
    input_schema: dict[str, Any] | None = Field(description="What `input` must be; none: any text or object.")
    output_schema: dict[str, Any] | None = Field(description="What `output` will be; none: a text.")
    budget: dict[str, Any]


class Agents(Document):
    """Every agent of this deployment."""

    data: list[AgentInfo]


class Meta(Document):
    """What answers."""

    version: str
    limits: dict[str, int]


class Liveness(Document):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Document):
    """Whether runs can be accepted, and why not."""

    status: Literal["ok", "unavailable", "stopping"]
    checks: dict[Literal["database", "schema", "redis"], str]


class DeadLetterPage(Page[DeadLetter]):
    """Dead letters, the newest first."""
