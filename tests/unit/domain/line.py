"""One bucket and a clock: what every test of admission asks."""

from dataclasses import dataclass, field

from agentfleet.domain import admission as model
from agentfleet.domain.admission import Admitted, Axes, Bucket, Gate, Heard, Pace

LIMITS: Axes = (60.0, 60_000.0, 12_000.0)
SMALL: Axes = (1.0, 1.0, 1.0)


@dataclass
class Line:
    """One bucket, its account's gate and a clock."""

    pace: Pace = field(default_factory=lambda: Pace(burst=5, ramp=20))
    limits: Axes = LIMITS
    now: float = 0.0
    account: Gate = field(default_factory=Gate)

    def __post_init__(self) -> None:
        self.bucket: Bucket = model.new_bucket(self.pace, self.now)
        model.listen(self.bucket, Heard(limits=self.limits), self.pace, self.now)

    def ask(self, *needs: Axes, served: Axes | None = None) -> Admitted:
        return model.admit(self.bucket, self.account, needs or [SMALL], self.pace, self.now, served=served)

    def overloaded(self, times: int = 1) -> None:
        for _ in range(times):
            model.overloaded(self.bucket, self.pace, self.now)

    def succeeded(self, begun: float) -> None:
        model.succeeded(self.bucket, self.account, self.pace, self.now, begun=begun)

    def full(self) -> "Line":
        """Used for long, and not for a moment just now: full, and not ramping."""
        self.bucket.ramp_from, self.bucket.levels = 1.0, capacity(self)
        return self


def capacity(line: Line) -> Axes:
    requests, inputs, outputs = (max(1.0, limit * line.pace.burst / 60) for limit in line.limits)
    return requests, inputs, outputs
