"""What the engine needs from the world and a test cannot own: the model, the tools, the broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentfleet.domain.budget import CallPrice, Usage
from agentfleet.domain.errors import Need
from agentfleet.domain.model import Bundle, Claimed, Doorbell, Message
from agentfleet.domain.plan import Rules, Turn


@dataclass(frozen=True, slots=True)
class ReasonRequest:
    """One call of the model: the pinned bundle, the whole conversation, the room for the answer in tokens."""

    bundle: Bundle
    conversation: Sequence[Message]
    max_tokens: int
    run_id: str
    step_id: str
    model: str
    tenant_id: str = ""
    account: str | None = None
    """The provider account that the run is pinned to."""
    prompt_tokens: int | None = None
    """Tokens of the last prompt with its answer, with which this one begins, and its age in seconds."""
    prompt_age: float | None = None
    lane: str | None = None
    """``batch`` when the answer may take hours."""


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A complete turn of the model and what it cost. ``usage_raw`` is the provider's own JSON text."""

    turn: Turn
    usage: Usage = field(default_factory=Usage)
    usage_raw: str = "{}"
    request_id: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered: ``content`` is text for the model."""

    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of admission gave: how many of those that were asked for, in how many seconds the next one probably
    fits (``None``: nobody is left), and the bucket's limits a minute: requests, input and output tokens.
    """

    admitted: int
    next_in: float | None
    limits: tuple[float, float, float]


class Admission(Protocol):
    """The provider's buckets, as who serves their queues sees them."""

    async def admit(self, bucket: str, needs: Sequence[tuple[str, Need]], waiting: tuple[float, float, float]) -> Round:
        """Take what these steps need, in order, as far as there is room; ``waiting`` is what all who wait need.

        Raises what its server raises when it is away: then nobody is admitted.
        """
        ...

    def give_back(self, need: Need) -> None:
        """A step that was admitted will not call."""
        ...


class Reasoner(Protocol):
    """The model. ``on_text`` gets each piece of text as it arrives, and must not block.

    Raises a ``domain.errors.StepError`` when there is no complete turn.
    """

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned: ...

    async def close(self) -> None: ...


class Toolbox(Protocol):
    """The users' tools and agents.

    ``call`` returns what the model should see, including the tool's own errors; it raises ``StepError`` only for what
    the model cannot mend (``ToolRetry``, ``Unserviceable``).
    """

    async def call(self, claimed: Claimed, call_id: str, arguments: Mapping[str, Any]) -> ToolResult: ...

    def rules(self, bundle: Bundle) -> Rules:
        """What the agent loop may do for this bundle; raises ``Unserviceable`` when its agent is unknown here."""
        ...


class Prices(Protocol):
    """What model calls may cost."""

    def __call__(self, model: str, prompt_tokens: int, *, cached: bool) -> CallPrice | None:
        """The most that a call may cost now; ``cached``: its prompt may be written to the cache. ``None``: unknown."""
        ...


class Publisher(Protocol):
    """The broker. Losing what is published is allowed: the reconciler publishes again."""

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:
        """Ring for steps that are dispatched in Postgres. Never raises for a broken broker; it counts."""
        ...

    async def wake(self, pool: str) -> None:
        """Tell the pool's dispatcher that there is a backlog."""
        ...

    async def revoke(self, step_ids: Sequence[str]) -> None:
        """Tell the workers to stop these steps at once instead of at their next heartbeat."""
        ...


class Deltas(Protocol):
    """Where token deltas go while somebody listens. May lose everything."""

    def writer(self, run_id: str, step_id: str) -> Callable[[str], None] | None: ...
