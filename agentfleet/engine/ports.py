"""What the engine needs from the world and a test cannot own: the model, the tools, the broker."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from agentfleet.domain.admission import Need
from agentfleet.domain.batch import ItemState
from agentfleet.domain.budget import CallPrice, Usage
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
    cached: bool = False
    """Whether it is an answer that was given before: then it has cost nothing, and ``usage_raw`` says what it saved."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered: ``content`` is text for the model."""

    content: str
    is_error: bool = False
    cached: bool = False
    """Whether it is a result that was given before."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of admission gave: how many of those that were asked for, in how many seconds the next one probably
    fits (``None``: nobody is left), and the bucket's limits a minute: requests, input and output tokens.
    """

    admitted: int
    next_in: float | None
    limits: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class BucketState:
    """One bucket of the provider: requests, input and output tokens a minute, and what is there of them now.

    ``share`` of the limits is used while it ramps, ``queued`` steps stand in line; it is shut for ``shut_for`` seconds,
    and has been tried by one call at a time for ``probed_for`` seconds (0: it is not).
    """

    name: str
    known: bool
    limits: tuple[float, float, float]
    levels: tuple[float, float, float]
    share: float
    queued: int
    shut_for: float
    probed_for: float


@dataclass(frozen=True, slots=True)
class Survey:
    """All buckets, and the parked accounts with the seconds until somebody may look whether they work again."""

    buckets: tuple[BucketState, ...]
    parked: Mapping[str, float]


class Admission(Protocol):
    """The provider's buckets, as who serves their queues sees them."""

    async def survey(self) -> Survey | None:
        """How things are; ``None`` when nobody knows."""
        ...

    async def admit(self, bucket: str, needs: Sequence[tuple[str, Need]], waiting: tuple[float, float, float]) -> Round:
        """Take what these steps need, in order, as far as there is room; ``waiting`` is what all who wait need.

        Raises what its server raises when it is away: then nobody is admitted.
        """
        ...

    def revoke(self, step_id: str, need: Need) -> None:
        """A step that was admitted will not call: what was taken for it goes back."""
        ...


class Reasoner(Protocol):
    """The model. ``on_text`` gets each piece of text as it arrives, and must not block.

    Raises a ``domain.errors.StepError`` when there is no complete turn.
    """

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch as its provider tells of it."""

    provider_id: str
    created_at: datetime
    requests: int
    ended: bool


class BatchService(Protocol):
    """The provider's Message Batches. Raises a ``domain.errors.StepError`` when it does not do what it is asked."""

    def account_of(self, request: ReasonRequest) -> str:
        """Whom a direct call would ask."""
        ...

    async def create(self, account: str, requests: Sequence[tuple[str, ReasonRequest]]) -> str:
        """Send ``(custom id, request)``; the provider's id. A lost answer does not mean that there is no batch."""
        ...

    async def recent(self, account: str, since: datetime) -> list[SentBatch]:
        """The account's batches that were created after ``since``."""
        ...

    async def look(self, account: str, provider_id: str) -> SentBatch:
        """How far it is."""
        ...

    def results(self, account: str, provider_id: str) -> AsyncGenerator[tuple[str, ItemState, str]]:
        """Of one that has ended: custom id, what the result means, the line as it came. In no order."""
        ...

    async def cancel(self, account: str, provider_id: str) -> None:
        """Give up what has not begun."""
        ...

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
