"""The provider of the model: what it really limits, and our own admission before it. Both by ``domain.admission``."""

from collections import deque
from dataclasses import dataclass, field

from agentfleet.capacity.work import Step
from agentfleet.domain.admission import Axes, Bucket, Gate, Pace, admit

HARD = Pace(burst=10.0, ramp_start=1.0)
"""How the provider enforces: over ten seconds, without a ramp."""
A_CALL: Axes = (1.0, 3_000.0, 500.0)
SERVED_AT_ONCE = 4
SHORTEST = 0.02
"""Seconds between two rounds, as ``engine/admit.py`` has it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The provider's limits a minute, and what one call takes of them: requests, input and output tokens."""

    a_minute: Axes
    a_call: Axes = A_CALL

    @property
    def calls_a_second(self) -> float:
        """The most; the scarcest axis says."""
        return min(limit / 60 / need for limit, need in zip(self.a_minute, self.a_call, strict=True) if need)

    @property
    def scarcest(self) -> str:
        """The axis that binds first."""
        named = zip(("requests", "input tokens", "output tokens"), self.a_minute, self.a_call, strict=True)
        return min((limit / need, name) for name, limit, need in named if need)[1]


@dataclass(slots=True)
class Provider:
    """Its own bucket, our copy of it, and who waits for room."""

    limits: Limits
    queue: deque[Step] = field(default_factory=deque[Step])
    refused: int = 0
    called: int = 0
    _next: float = 0.0
    """When there is room for the next call, if each so far was made as soon as it could be."""
    _ours: Bucket = field(init=False)
    _theirs: Bucket = field(init=False)
    _gate: Gate = field(default_factory=Gate)
    _pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        self._ours = _full(self.limits.a_minute, self._pace)
        self._theirs = _full(self.limits.a_minute, HARD)

    def due(self, now: float) -> float:
        """When a call that comes now could be made, if only the provider's limits held it up."""
        earliest = max(now, self._next - self._pace.burst)
        self._next = max(self._next, now) + 1 / self.limits.calls_a_second
        return earliest

    def admit(self, now: float) -> bool:
        """Whether our admission lets a newcomer call now."""
        return admit(self._ours, self._gate, [self.limits.a_call], self._pace, now).count > 0

    def serve(self, now: float) -> tuple[list[Step], float]:
        """Who of the queue may call now, and in how many seconds the next one may."""
        first = min(len(self.queue), SERVED_AT_ONCE)
        requests, inputs, outputs = self.limits.a_call
        waiting = (requests * len(self.queue), inputs * len(self.queue), outputs * len(self.queue))
        found = admit(self._ours, self._gate, [self.limits.a_call] * first, self._pace, now, served=waiting)
        return [self.queue.popleft() for _ in range(found.count)], max(min(found.waits, default=0.0), SHORTEST)

    def call(self, now: float) -> bool:
        """Call it: whether it answers; else it was a 429."""
        answered = admit(self._theirs, Gate(), [self.limits.a_call], HARD, now).count > 0
        self._theirs.queued_until = 0.0
        self.called += 1
        self.refused += not answered
        return answered


def _full(limits: Axes, pace: Pace) -> Bucket:
    """A bucket that is in use: full, and past its ramp."""
    a, b, c = (max(1.0, limit * pace.burst / 60) for limit in limits)
    return Bucket(limits, (a, b, c), 0.0, 0.0, 0.0, 1.0, pace.ramp, known=True)
