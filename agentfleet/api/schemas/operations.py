"""The catalogue, health."""

from typing import Any, Literal

from pydantic import Field

from agentfleet.api.schemas.base import Document


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
