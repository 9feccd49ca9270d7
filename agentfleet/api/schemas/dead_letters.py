"""Dead letters: one, many of a kind, and what can be done about them. Bodies are checked against these models."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from agentfleet.api.schemas.base import Document, Dollars, Error, Id, Page
from agentfleet.api.schemas.steps import Attempt, Message
from agentfleet.domain.model import StepKind
from agentfleet.domain.states import RunState
from agentfleet.domain.verdicts import Verdict

FINGERPRINT = "^f_[0-9a-f]{16}$"
AGENT = "^[a-z][a-z0-9_-]{0,59}$"
STEP_NAME = "^[^\\x00]{1,200}$"

GivenId = Annotated[Id, BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)]
Fingerprint = Annotated[
    str, Field(pattern=FINGERPRINT, description="The same for one verdict, place and shape of message.")
]
Model = Annotated[str, Field(pattern="^[A-Za-z0-9._:/@-]{1,200}$", description="Called instead of the run's model.")]
Instructions = Annotated[
    str,
    Field(
        max_length=100_000,
        description="Instead of the run's. Refused once the model has signed its reasoning: that is bound to them.",
    ),
]


class LetterStep(Document):
    """The step that was given up on."""

    id: Id
    seq: int
    kind: StepKind
    name: str


class Resolution(Document):
    """What was done about it. None: nothing yet, or its run ended otherwise."""

    action: Literal["replay", "skip", "discard"]
    by: str | None = Field(description="The id of the API key.")
    edited: list[Literal["input", "message", "model", "instructions"]] = Field(default_factory=list[Any])
    bundle_id: str | None = Field(default=None, description="What the run is pinned to since then.")
    input_before: Any = Field(default=None, description="The run's input before it was edited.")
    result: Any = Field(default=None, description="Of a skip: what the model is told that the tool returned.")
    filter: dict[str, Any] | None = Field(default=None, description="Of a replay in bulk: which ones were meant.")
    digest: str | None = Field(default=None, description="Of the edit, so that repeating it is known.")


class DeadLetter(Document):
    """A step that was given up on and waits, or waited, for a human."""

    id: Id
    status: Literal["open", "replayed", "discarded"]
    run_id: Id
    agent: str
    step: LetterStep
    verdict: str
    error: Error
    fingerprint: Fingerprint | None = Field(description="None: nobody has asked for clusters since it was written.")
    resolution: Resolution | None
    created_at: datetime
    resolved_at: datetime | None


class LetterRun(Document):
    """The run of a dead letter, and what it has spent."""

    status: RunState
    steps: int
    tool_calls: int
    tokens: int
    cost_usd: Dollars


class DeadLetterDetail(DeadLetter):
    """All that is known about a dead letter."""

    request_id: str | None = Field(
        description="The provider's, of the last call that has one: its support asks for it."
    )
    attempts: list[Attempt] = Field(description="Of the step, the last one at the end.")
    messages: list[Message] = Field(description="The end of the conversation.")
    run: LetterRun


class DeadLetterPage(Page[DeadLetter]):
    """Dead letters, the newest first."""


class Cluster(Document):
    """Dead letters of one kind."""

    fingerprint: Fingerprint
    verdict: str
    agent: str
    kind: StepKind
    name: str = Field(description="The step's: a tool's or a model's.")
    error: Error
    count: int
    runs: int
    first_seen: datetime
    last_seen: datetime
    cost_usd: Dollars = Field(description="What their runs have spent, each counted once.")
    tokens: int
    newest: list[Id]


class Clusters(Document):
    """Open dead letters by kind, the largest first."""

    data: list[Cluster]


class ReplayRequest(Document):
    """Dead letters to be replayed."""

    ids: list[GivenId] = Field(min_length=1, max_length=200)


class Replayed(Document):
    """What became of them."""

    replayed: list[Id]
    skipped: list[Id] = Field(description="Not open, or not there.")


class ReplayEdit(Document):
    """How a step comes back; what is left out stays as it was."""

    input: str | dict[str, Any] | None = Field(
        default=None,
        description="Of a tool's step: the arguments. Of a model's: the run's input, while the model has said nothing.",
    )
    message: Annotated[str, Field(pattern=r"\S")] | None = Field(
        default=None, description="Of a model's step: appended to the conversation as the user's."
    )
    model: Model | None = None
    instructions: Instructions | None = None


class SkipRequest(Document):
    """What a tool returned, or would have: it is not called."""

    result: Any = Field(description="A text, or any other JSON value.")
    is_error: bool = False


class LetterFilter(Document):
    """Which open dead letters: those for which all of it holds."""

    ids: list[GivenId] | None = Field(default=None, min_length=1, max_length=200)
    fingerprint: Fingerprint | None = None
    verdict: Verdict | None = None
    agent: Annotated[str, Field(pattern=AGENT)] | None = None
    name: Annotated[str, Field(pattern=STEP_NAME)] | None = Field(
        default=None, description="The step's: a tool's or a model's."
    )
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None


class BulkEdit(Document):
    """How all of them come back."""

    model: Model | None = None
    instructions: Instructions | None = None


class ReplaysRequest(Document):
    """A replay in bulk: asked for first, then done."""

    filter: LetterFilter = Field(default_factory=LetterFilter)
    edit: BulkEdit = Field(default_factory=BulkEdit)
    dry_run: bool = Field(default=True, description="Only tell what it would do.")
    token: Annotated[str, Field(max_length=400)] | None = Field(
        default=None, description="Of the dry run with this filter and edit. What died since then is left alone."
    )

    @model_validator(mode="after")
    def _one_agent(self) -> Self:
        if self.edit.instructions is not None and self.filter.agent is None:
            raise ValueError("instructions are one agent's: name it in filter.agent")
        return self


class ReplayPlan(Document):
    """What a replay in bulk would do."""

    dry_run: Literal[True]
    count: int
    runs: int
    unfit: int = Field(description="Match, too, but what the model has signed forbids the edit: they stay open.")
    estimated_cost_usd: Dollars | None = Field(
        description="One model call for each, at what those of its run, or of its agent of late, have cost."
    )
    estimated_seconds: float | None = Field(
        description="At the pace of the agents' busiest minute of late; none: they have done nothing yet."
    )
    token: str | None = Field(description="To be sent with `dry_run: false`; none: there is nothing to do.")


class ReplayProgress(Document):
    """What one call of a replay in bulk has done. Repeat it until nothing remains."""

    dry_run: Literal[False]
    replayed: list[Id]
    remaining: int
    token: str
