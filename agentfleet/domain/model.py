"""The values that travel between the store, the engine and the agent loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from agentfleet.domain.budget import Left, Progress, Usage
from agentfleet.domain.states import RunEvent, RunState, StepEvent, StepState, run_after


class StepKind(StrEnum):
    """What a step does."""

    REASON = "reason"
    """One call of the model."""
    TOOL = "tool"
    """One call of one tool."""


@dataclass(frozen=True, slots=True)
class Message:
    """One part of a turn of the conversation, exactly as it is sent and was received.

    ``content`` is the JSON text of a list of content blocks. A turn's message is the concatenation of its parts in
    order: an assistant turn has one part, the answer to N tool calls has N, each written once by its own step.
    """

    turn: int
    part: int
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class NextStep:
    """A step to be created. ``input`` is JSON text. With ``join`` it is created by the last open step of its run."""

    kind: StepKind
    name: str
    turn: int
    part: int = 0
    input: str = "{}"
    effect: str | None = None
    join: bool = False


@dataclass(frozen=True, slots=True)
class Doorbell:
    """What a broker message is made of: the id, and words for those who watch. It carries no authority."""

    step_id: str
    run_id: str
    pool: str
    agent: str
    kind: str
    name: str
    seq: int
    attempt: int
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A step that this worker owns until its lease ends, with all that its attempt needs."""

    step_id: str
    run_id: str
    tenant_id: str
    agent: str
    bundle_id: str
    pool: str
    seq: int
    kind: StepKind
    name: str
    turn: int
    part: int
    input: str
    effect: str | None
    fence: int
    attempt: int
    crashes: int
    snoozes: int
    queue_wait: float
    """Seconds from ready to claimed."""
    run_age: float
    """Seconds since the run was accepted, on the database's clock."""
    deadline_at: datetime | None
    traceparent: str | None
    metadata: Mapping[str, Any]
    progress: Progress
    priority: int = 0
    account: str | None = None
    """The provider account that the run is pinned to."""
    lane: str | None = None
    """``batch`` when the run's model calls may wait for Message Batches."""
    budget: str | None = None
    """JSON text: ceilings that were changed since the run was accepted."""
    parent_run_id: str | None = None
    prompt_tokens: int | None = None
    """Tokens of the run's last prompt with its answer, and how many seconds ago that call ended."""
    prompt_age: float | None = None
    conversation: tuple[Message, ...] = ()
    """For a reason step: everything said so far, in order."""
    metered: bool = False
    """Whether others spend from a budget of this step, too: its run's parents and children, or its tenant's day."""
    left: Left = field(default_factory=Left)
    """What the tightest of its budgets still allows beside this step, as known when it began. Its performer sets it."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a run is pinned to: prompt, tools, model and limits, immutable, named by the hash of their JSON text.

    ``spec`` has ``model``, ``instructions``, ``tools``, ``output_schema``, ``max_tokens``, ``budget``, ``cache`` and
    ``thinking``, as ``agents`` writes them.
    """

    id: str
    agent: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a run's event stream; ``data`` is JSON text."""

    type: str
    data: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What becomes of the run: ``output`` and ``error`` are JSON texts."""

    event: RunEvent
    output: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything that the end of one attempt writes, in one transaction, or not at all."""

    step_id: str
    run_id: str
    fence: int
    event: StepEvent
    state: StepState
    spent: bool = True
    """Whether this attempt counts."""
    crashed: bool = False
    snoozed: bool = False
    expired_only: bool = False
    """Only if the lease has ended: a rescue must not take a step from a worker that has just renewed."""
    delay: float | None = None
    """Seconds until a waiting step is due."""
    blocked_on: str | None = None
    bucket: str | None = None
    """Of the provider: the step waits until its dispatcher admits it, with these estimates in tokens."""
    input_estimate: int | None = None
    output_estimate: int | None = None
    verdict: str | None = None
    fingerprint: str | None = None
    """Of a step that is buried: the same for failures of one kind, at one place, with the same words."""
    account: str | None = None
    """The provider account that answered: the run is pinned to it from now on."""
    prompt_tokens: int | None = None
    """Tokens of this call's prompt with its answer: what the run's next prompt begins with."""
    error: str | None = None
    request_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    usage_raw: str | None = None
    tool_calls: int = 0
    messages: tuple[Message, ...] = ()
    steps: tuple[NextStep, ...] = ()
    events: tuple[Event, ...] = ()
    run: RunEnd | None = None

    @property
    def run_state(self) -> str | None:
        """The state that this settlement puts its run into, when it decides that."""
        return None if self.run is None else run_after(RunState.RUNNING, self.run.event).value
