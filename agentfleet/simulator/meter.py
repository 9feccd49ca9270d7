"""What went through one bucket over the last hour: taken, refilled, and spilled because the bucket was full."""

from collections import deque
from dataclasses import dataclass, field

KEPT_SECONDS = 3600
GRAIN = 0.01  # seconds; what is taken within one grain is one row


@dataclass(slots=True)
class Meter:
    """Rows are (time, amount), (time, tokens a second from then on) and (from, to, tokens a second)."""

    taken: deque[tuple[float, float]] = field(default_factory=deque[tuple[float, float]])
    rates: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    full: deque[tuple[float, float, float]] = field(default_factory=deque[tuple[float, float, float]])

    def take(self, amount: float, now: float) -> None:
        """Note what was taken."""
        if self.taken and now - self.taken[-1][0] < GRAIN:
            at, before = self.taken.pop()
            self.taken.append((at, before + amount))
            return
        self.taken.append((now, amount))
        while self.taken[0][0] < now - KEPT_SECONDS:
            self.taken.popleft()

    def set_rate(self, per_minute: float, now: float) -> None:
        """Note the refill from now on."""
        self.rates.append((now, per_minute / 60))

    def spill(self, since: float, until: float) -> None:
        """Note that the bucket was full all the while."""
        rate = self.rates[-1][1]
        if self.full and self.full[-1][1] == since and self.full[-1][2] == rate:
            since = self.full.pop()[0]
        self.full.append((since, until, rate))
        while self.full[0][1] < until - KEPT_SECONDS:
            self.full.popleft()

    def used(self, since: float, until: float) -> float:
        """What was taken in a window."""
        return sum(amount for at, amount in self.taken if since <= at <= until)

    def allowed(self, since: float, until: float) -> float:
        """What the refill of a window was."""
        ends = [at for at, _ in self.rates[1:]] + [until]
        return sum(
            max(0.0, min(end, until) - max(at, since)) * rate for (at, rate), end in zip(self.rates, ends, strict=True)
        )

    def spilled(self, since: float, until: float) -> float:
        """How much of the refill of a window nobody could take any more."""
        return sum(max(0.0, min(end, until) - max(start, since)) * rate for start, end, rate in self.full)
