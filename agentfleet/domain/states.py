"""The transition tables of a run and of a step.

Theory of operation. Everything that decides whether a state may follow another lives in the two tables below, and the
tables do not know who asks. Five readers, no copies: ``step_after``/``run_after`` (an illegal event is a typed error),
``sources_of`` (bound into SQL as the ``state = ANY(...)`` guard), the CHECK constraints of ``store.tables``, the
property tests, and ``docs/lifecycle.md``, which is generated from here.

A step. It is ``ready`` in Postgres until the dispatcher admits it, ``dispatched`` while its message is under way,
``running`` while one worker holds its lease. ``waiting`` has a due date (``not_before``). Claiming raises the fence;
every write that ends an attempt must carry it, so a stalled worker that wakes up later matches nothing. ``dead`` is a
step given up on: its dead letter waits for a human, and replaying is the only way out besides cancelling.

A run. ``waiting`` always says why (``blocked_on``). ``needs_review`` is not an end: a dead letter waits, and a replay
continues at the step that died. The four ends (``succeeded failed cancelled expired``) have no way out.

Not guaranteed here: that a transition was written. That is the job of the fenced statements in ``store/sql``.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from agentfleet.domain.errors import IllegalTransition


class StepState(StrEnum):
    """Where a step is."""

    READY = "ready"
    """Waits in Postgres to be admitted and dispatched."""
    DISPATCHED = "dispatched"
    """Its message was sent to the broker; nobody has claimed it yet."""
    RUNNING = "running"
    """Claimed: one worker holds its lease."""
    WAITING = "waiting"
    """Will be promoted to ready when due."""
    SUCCEEDED = "succeeded"
    """Its outcome is recorded. Never runs again."""
    DEAD = "dead"
    """Given up on; a dead letter waits for a human."""
    CANCELLED = "cancelled"
    """Its run was cancelled, expired or failed; or its model gave way to another, which a step after it asks."""


class StepEvent(StrEnum):
    """What may happen to a step."""

    DISPATCH = "dispatch"
    RECALL = "recall"
    """A worker that stops returns a message that it has not claimed."""
    REPUBLISH = "republish"
    CLAIM = "claim"
    RENEW = "renew"
    SUCCEED = "succeed"
    RETRY = "retry"
    """Failed, an attempt is spent, and it is due again later."""
    SNOOZE = "snooze"
    """Has to wait without spending an attempt."""
    HAND_BACK = "hand_back"
    """A worker that stops returns a step that it had claimed, without spending an attempt."""
    BURY = "bury"
    PROMOTE = "promote"
    ADMIT = "admit"
    """The provider has room for it: dispatched at once."""
    REPLAY = "replay"
    CANCEL = "cancel"


class RunState(StrEnum):
    """Where a run is; public and closed."""

    QUEUED = "queued"
    """Accepted; no step has started."""
    RUNNING = "running"
    """At least one step may make progress."""
    WAITING = "waiting"
    """Every open step waits; ``blocked_on`` says for what."""
    PAUSED = "paused"
    """Held by a human or a budget; nothing is dispatched."""
    NEEDS_REVIEW = "needs_review"
    """A dead letter or an unknown effect waits for a human."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Its deadline passed before it ended."""


class RunEvent(StrEnum):
    """What may happen to a run."""

    START = "start"
    BLOCK = "block"
    UNBLOCK = "unblock"
    PAUSE = "pause"
    RESUME = "resume"
    REVIEW = "review"
    REPLAY = "replay"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"


_S, _E = StepState, StepEvent

STEP_TRANSITIONS: Mapping[tuple[StepState, StepEvent], StepState] = MappingProxyType(
    {
        (_S.READY, _E.DISPATCH): _S.DISPATCHED,
        (_S.DISPATCHED, _E.RECALL): _S.READY,
        (_S.DISPATCHED, _E.REPUBLISH): _S.DISPATCHED,
        (_S.DISPATCHED, _E.CLAIM): _S.RUNNING,
        (_S.RUNNING, _E.RENEW): _S.RUNNING,
        (_S.RUNNING, _E.SUCCEED): _S.SUCCEEDED,
        (_S.RUNNING, _E.RETRY): _S.WAITING,
        (_S.RUNNING, _E.SNOOZE): _S.WAITING,
        (_S.RUNNING, _E.HAND_BACK): _S.READY,
        (_S.RUNNING, _E.BURY): _S.DEAD,
        (_S.WAITING, _E.PROMOTE): _S.READY,
        (_S.WAITING, _E.ADMIT): _S.DISPATCHED,
        (_S.DEAD, _E.REPLAY): _S.READY,
        (_S.READY, _E.CANCEL): _S.CANCELLED,
        (_S.DISPATCHED, _E.CANCEL): _S.CANCELLED,
        (_S.RUNNING, _E.CANCEL): _S.CANCELLED,
        (_S.WAITING, _E.CANCEL): _S.CANCELLED,
        (_S.DEAD, _E.CANCEL): _S.CANCELLED,
    }
)

_R, _V = RunState, RunEvent

RUN_TRANSITIONS: Mapping[tuple[RunState, RunEvent], RunState] = MappingProxyType(
    {
        (_R.QUEUED, _V.START): _R.RUNNING,
        (_R.RUNNING, _V.START): _R.RUNNING,
        (_R.RUNNING, _V.BLOCK): _R.WAITING,
        (_R.WAITING, _V.BLOCK): _R.WAITING,
        (_R.WAITING, _V.UNBLOCK): _R.RUNNING,
        (_R.QUEUED, _V.PAUSE): _R.PAUSED,
        (_R.RUNNING, _V.PAUSE): _R.PAUSED,
        (_R.WAITING, _V.PAUSE): _R.PAUSED,
        (_R.PAUSED, _V.RESUME): _R.RUNNING,
        (_R.QUEUED, _V.REVIEW): _R.NEEDS_REVIEW,
        (_R.RUNNING, _V.REVIEW): _R.NEEDS_REVIEW,
        (_R.WAITING, _V.REVIEW): _R.NEEDS_REVIEW,
        (_R.PAUSED, _V.REVIEW): _R.NEEDS_REVIEW,
        (_R.NEEDS_REVIEW, _V.REVIEW): _R.NEEDS_REVIEW,
        (_R.NEEDS_REVIEW, _V.REPLAY): _R.RUNNING,
        (_R.NEEDS_REVIEW, _V.FAIL): _R.FAILED,
        **{(state, _V.SUCCEED): _R.SUCCEEDED for state in (_R.QUEUED, _R.RUNNING, _R.WAITING, _R.PAUSED)},
        **{(state, _V.FAIL): _R.FAILED for state in (_R.QUEUED, _R.RUNNING, _R.WAITING, _R.PAUSED)},
        **{
            (state, _V.CANCEL): _R.CANCELLED
            for state in (_R.QUEUED, _R.RUNNING, _R.WAITING, _R.PAUSED, _R.NEEDS_REVIEW)
        },
        **{(state, _V.EXPIRE): _R.EXPIRED for state in (_R.QUEUED, _R.RUNNING, _R.WAITING, _R.PAUSED, _R.NEEDS_REVIEW)},
    }
)

STEP_INITIAL = frozenset({StepState.READY, StepState.DISPATCHED})
"""A step is born ready, or already dispatched when the same transaction admitted it (the fast path)."""
STEP_FINAL = frozenset({StepState.SUCCEEDED, StepState.CANCELLED})
RUN_INITIAL = RunState.QUEUED
RUN_FINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED})
RUN_OPEN = frozenset(RunState) - RUN_FINAL
BLOCKED_ON = (
    "timer",
    "provider",
    "concurrency",
    "tenant_share",
    "budget",
    "approval",
    "signal",
    "children",
    "batch",
    "deploy",
)
"""What a waiting run may be blocked on; closed, and public."""


def step_after(state: StepState, event: StepEvent) -> StepState:
    """The state that follows; raises ``IllegalTransition`` when the table has no such row."""
    try:
        return STEP_TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition("step", state, event) from None


def run_after(state: RunState, event: RunEvent) -> RunState:
    """The state that follows; raises ``IllegalTransition`` when the table has no such row."""
    try:
        return RUN_TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition("run", state, event) from None


def step_sources(event: StepEvent) -> list[str]:
    """The states from which ``event`` is legal, for a statement's ``state = ANY(...)`` guard."""
    return sorted(state.value for state, e in STEP_TRANSITIONS if e is event)


def run_sources(event: RunEvent) -> list[str]:
    """The states from which ``event`` is legal, for a statement's ``state = ANY(...)`` guard."""
    return sorted(state.value for state, e in RUN_TRANSITIONS if e is event)
