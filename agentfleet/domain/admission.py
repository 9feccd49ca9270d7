"""Admission: may a model call be made now, and if not, when? Pure arithmetic; ``provider/lua/admission.lua`` is the
same in Redis, step by step, and a property test holds the two together.

A **bucket** is what the provider limits: one organization and one group of models, with three axes: requests, input and
output tokens a minute, each refilled continuously (https://platform.claude.com/docs/en/api/rate-limits). A call takes
what it needs of all three, or waits. What is taken is an estimate; ``settle`` gives back the difference. The provider's
own word (headers) wins whenever it is lower.

* It holds ``burst`` seconds of refill at most: the provider may enforce a limit over less than its minute.
* After idleness the refill begins at the share ``ramp_start`` and grows to all of it within ``ramp`` seconds: the
  provider refuses growth that is too fast.
* A **gate** keeps everybody out until a time. With ``every`` one call may look each so many seconds, and its success
  opens the gate: the breaker of an overloaded model, and the way in which a parked account comes back. The success of
  a call that was under way before says nothing about new ones.
* The **queue**: while steps wait for room, nobody new goes first (``queued_until``, renewed by who serves the queue).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

Axes = tuple[float, float, float]
"""Requests, input tokens, output tokens."""
Told = tuple[float | None, float | None, float | None]

NOTHING: Axes = (0.0, 0.0, 0.0)
UNLIMITED: Axes = (1e12, 1e12, 1e12)
ASSUMED: Axes = (60.0, 60_000.0, 12_000.0)
"""A minute, until an answer tells the limits."""
FAILURES_TO_SHUT = 3
"""Overloads in a row after which calls are made one at a time, to look."""
SLOWER = 0.7
"""What an overload leaves of the pace (multiplicative decrease; the ramp is the additive increase)."""
SLOWEST = 0.05
LONGEST_RAMP = 240.0


@dataclass(frozen=True, slots=True)
class Need:
    """What a model call takes of the provider's bucket ``account/model group``: one request and these tokens."""

    bucket: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How carefully buckets are used. Durations in seconds; ``caps`` a minute, whatever the provider would allow."""

    burst: float = 5.0
    ramp_start: float = 0.25
    ramp: float = 20.0
    idle: float = 60.0
    """Unused for this long, a bucket begins at ``ramp_start`` again."""
    probe: float = 10.0
    """Between two looks at an overloaded model."""
    turn: float = 3.0
    """How long a queue keeps newcomers away when nobody serves it any more."""
    caps: Axes = UNLIMITED


@dataclass(slots=True)
class Gate:
    """Shut ``until`` a time, whatever happens. With ``every`` one may look each so many seconds, next at ``look_at``,
    until one of those who were let in after ``since`` succeeds.
    """

    until: float = 0.0
    every: float = 0.0
    look_at: float = 0.0
    since: float = 0.0

    def wait(self, now: float) -> float:
        return max(self.until - now, self.look_at - now, 0.0)

    def pass_one(self, now: float) -> None:
        if self.every > 0:
            self.look_at = now + self.every

    def shut(self, seconds: float, now: float) -> None:
        """At least for ``seconds``, for everybody."""
        self.until = max(self.until, now + seconds)

    def probe(self, every: float, now: float) -> None:
        """From now on one at a time."""
        if self.every == 0:
            self.since = now
        self.every, self.look_at = every, max(self.look_at, now + every)

    def open(self, begun: float) -> bool:
        """One who was let in at ``begun`` has succeeded: everybody may; whether that is news."""
        news = self.every > 0 and begun >= self.since
        if news:
            self.every = self.look_at = self.since = 0.0
        return news


@dataclass(slots=True)
class Bucket:
    """The state of one bucket. Times are seconds of one clock."""

    limits: Axes
    """A minute."""
    levels: Axes
    at: float
    """When ``levels`` were true."""
    used_at: float
    ramp_at: float
    ramp_from: float
    ramp_for: float
    known: bool = False
    """Whether the provider has told its limits, or that it tells none."""
    failing: int = 0
    gate: Gate = field(default_factory=Gate)
    queued_until: float = 0.0
    queued: Axes = NOTHING
    """What those who wait need, all together."""
    reads_count: bool = False
    """Whether what is read from the cache counts as input, as the limits' list of the organization says."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer's headers say: limits a minute, and what is left of them; ``None`` where they are silent.

    Only the organization's list of limits says whether cache reads count.
    """

    limits: Told = (None, None, None)
    remaining: Told = (None, None, None)
    reads_count: bool | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """How many of the calls may be made, in their order, and in how many seconds each of the others probably may."""

    count: int
    waits: tuple[float, ...] = ()


def new_bucket(pace: Pace, now: float) -> Bucket:
    """A bucket that nobody has used yet: careful until an answer tells more."""
    limits = _lowest(ASSUMED, pace.caps)
    return Bucket(limits, _capacity(limits, pace), now, now, now, pace.ramp_start, pace.ramp)


def admit(
    bucket: Bucket, account: Gate, needs: Sequence[Axes], pace: Pace, now: float, *, served: Axes | None = None
) -> Admitted:
    """Take what ``needs`` need, in order, as far as there is room.

    ``served`` is what all who wait need together: who says so serves the queue, others are newcomers, who stand behind.
    """
    refill(bucket, pace, now)
    if now - bucket.used_at > pace.idle and bucket.levels == _capacity(bucket.limits, pace):  # else it pays a debt
        bucket.ramp_at, bucket.ramp_from = now, pace.ramp_start
    ahead = bucket.queued if served is None and now < bucket.queued_until else NOTHING
    count, waits, wanted = 0, list[float](), ahead
    for need in needs:
        wait = max(account.wait(now), _wait(bucket, wanted, need, pace, now))
        if wait <= 0 and wanted == NOTHING:
            bucket.levels = _minus(bucket.levels, need)
            bucket.used_at = now
            bucket.gate.pass_one(now)
            account.pass_one(now)
            served = None if served is None else _minus(served, need)
            count += 1
        else:
            waits.append(wait)
            wanted = _plus(wanted, need)
    _note_queue(bucket, wanted, served, pace, now)
    return Admitted(count, tuple(waits))


def settle(bucket: Bucket, taken: Axes, used: Axes, pace: Pace, now: float) -> None:
    """Give back what was taken and not used, or take what was used on top."""
    refill(bucket, pace, now)
    bucket.levels = _lowest(_minus(_plus(bucket.levels, taken), used), _capacity(bucket.limits, pace))


def listen(bucket: Bucket, heard: Heard, pace: Pace, now: float) -> None:
    """Learn limits, and lower levels to what is left. Nothing raises a level: others may call on the same account.

    An answer that tells no limits comes from where there are none.
    """
    refill(bucket, pace, now)
    if any(limit is not None for limit in heard.limits) or not bucket.known:
        bucket.limits, bucket.known = _lowest(_told(heard.limits, pace.caps), pace.caps), True
    bucket.reads_count = bucket.reads_count if heard.reads_count is None else heard.reads_count
    bucket.levels = _lowest(bucket.levels, _told(heard.remaining, UNLIMITED), _capacity(bucket.limits, pace))


def succeeded(bucket: Bucket, account: Gate, pace: Pace, now: float, *, begun: float) -> None:
    """A call that was let in at ``begun`` was answered: what was shut because of failures opens again, slowly."""
    bucket.failing = 0
    account.open(begun)
    if bucket.gate.open(begun):
        refill(bucket, pace, now)
        bucket.ramp_at, bucket.ramp_from = now, pace.ramp_start


def limited(bucket: Bucket, seconds: float, pace: Pace, now: float, *, growth: bool = False) -> None:
    """The provider refused, and said for how long; ``growth``: because its use grew too fast."""
    refill(bucket, pace, now)
    bucket.gate.shut(seconds, now)
    if growth:
        part = share(bucket, now)
        bucket.ramp_for = min(bucket.ramp_for * 2, LONGEST_RAMP)
        bucket.ramp_at, bucket.ramp_from = now + seconds, max(part / 2, SLOWEST)


def overloaded(bucket: Bucket, pace: Pace, now: float) -> None:
    """The provider is overloaded: slower, and after some failures in a row one call at a time."""
    refill(bucket, pace, now)
    bucket.failing += 1
    bucket.ramp_from = max(share(bucket, now) * SLOWER, SLOWEST)
    bucket.ramp_at = now
    if bucket.failing >= FAILURES_TO_SHUT:
        bucket.gate.probe(pace.probe, now)


def refill(bucket: Bucket, pace: Pace, now: float) -> None:
    """Bring the levels up to ``now``."""
    if now <= bucket.at:
        return
    seconds = _full_seconds(bucket, bucket.at, now)
    refilled = _plus(bucket.levels, _times(bucket.limits, seconds / 60))
    bucket.levels, bucket.at = _lowest(refilled, _capacity(bucket.limits, pace)), now


def _full_seconds(bucket: Bucket, since: float, until: float) -> float:
    """The integral of the share: so many seconds of full refill lie between two times."""
    full = bucket.ramp_at + bucket.ramp_for
    if since >= full:
        return until - since
    sloped = min(until, full)
    middle = (share(bucket, since) + share(bucket, sloped)) / 2
    return (sloped - since) * middle + (until - sloped)


def share(bucket: Bucket, now: float) -> float:
    """How much of the limits is used at this time."""
    grown = (1 - bucket.ramp_from) * (now - bucket.ramp_at) / bucket.ramp_for
    return min(1.0, bucket.ramp_from + max(grown, 0.0))


def _capacity(limits: Axes, pace: Pace) -> Axes:
    """What a full bucket holds: a request at least."""
    requests, inputs, outputs = _times(limits, pace.burst / 60)
    return max(1.0, requests), max(1.0, inputs), max(1.0, outputs)


def _wait(bucket: Bucket, ahead: Axes, need: Axes, pace: Pace, now: float) -> float:
    """Seconds until there is room behind ``ahead``. What is larger than the bucket needs a full one."""
    longest, part = bucket.gate.wait(now), share(bucket, now)
    enough = _plus(ahead, _lowest(need, _capacity(bucket.limits, pace)))
    for wanted, level, limit in zip(enough, bucket.levels, bucket.limits, strict=True):
        if wanted > level:
            longest = max(longest, (wanted - level) * 60 / (limit * part))
    return longest


def _note_queue(bucket: Bucket, waiting: Axes, served: Axes | None, pace: Pace, now: float) -> None:
    """A newcomer renews nothing: should nobody serve the queue any more, it is over after a turn."""
    if served is not None:
        bucket.queued = served
        bucket.queued_until = now + pace.turn if served[0] > 0 else 0.0
    elif waiting != NOTHING:
        bucket.queued = waiting
        bucket.queued_until = bucket.queued_until if now < bucket.queued_until else now + pace.turn


def _plus(a: Axes, b: Axes) -> Axes:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _minus(a: Axes, b: Axes) -> Axes:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _times(a: Axes, factor: float) -> Axes:
    return a[0] * factor, a[1] * factor, a[2] * factor


def _lowest(*each: Axes) -> Axes:
    a, b, c = (min(values) for values in zip(*each, strict=True))
    return a, b, c


def _told(told: Told, otherwise: Axes) -> Axes:
    a, b, c = (default if value is None else value for value, default in zip(told, otherwise, strict=True))
    return a, b, c
