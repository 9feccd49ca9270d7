"""What a tool is told about its call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import structlog

from agentfleet.domain.budget import Left, Progress
from agentfleet.domain.keys import effect_key
from agentfleet.domain.model import Claimed
from agentfleet.telemetry import tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """The first parameter of a tool that is annotated with it. The model does not see it."""

    run_id: str
    step_id: str
    call_id: str
    agent: str
    tenant_id: str = ""
    attempt: int = 1
    """1 for the first try of this call."""
    deadline_at: datetime | None = None
    """When the run expires, on the database's clock; ``None`` when it never does."""
    progress: Progress = field(default_factory=Progress)
    """Steps, tool calls and usage of the run before this call."""
    budget_left: Left = field(default_factory=Left)
    """``steps``, ``tool_calls``, ``tokens`` and ``cost_usd`` that the tightest budget of this run, its parents and its
    tenant's day still allows beside this call, as known when it began; ``None``: without ceiling."""
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What the producer attached to the run."""
    traceparent: str | None = None
    """W3C Trace Context: send it as the header of this name with what the tool calls. Of this call's span while tracing
    is on, otherwise what the producer sent along, if anything."""

    @property
    def effect_key(self) -> str:
        """An idempotency key for the outside world: the same for every attempt, different for every call."""
        return effect_key(self.run_id, self.step_id, self.call_id)

    @property
    def log(self) -> Any:
        """A structlog logger that names run, step, call and attempt on every line."""
        return structlog.get_logger("agentfleet.tool").bind(
            run_id=self.run_id,
            step_id=self.step_id,
            call_id=self.call_id,
            tenant_id=self.tenant_id,
            agent=self.agent,
            attempt=self.attempt,
        )

    @classmethod
    def of(cls, claimed: Claimed, call_id: str) -> "ToolContext":
        """The context of one call within the step that this worker has claimed."""
        return cls(
            run_id=claimed.run_id,
            step_id=claimed.step_id,
            call_id=call_id,
            agent=claimed.agent,
            tenant_id=claimed.tenant_id,
            attempt=claimed.attempt,
            deadline_at=claimed.deadline_at,
            progress=claimed.progress,
            budget_left=claimed.left,
            metadata=claimed.metadata,
            traceparent=tracing.traceparent() or claimed.traceparent,
        )
