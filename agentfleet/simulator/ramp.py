"""Acceleration limits: a sharp increase of use is refused although the bucket is not empty."""

from dataclasses import dataclass

from agentfleet.simulator.config import Ramp

INSTANT = 1e-6  # seconds; less is what a float cannot tell of a Unix time


@dataclass(slots=True)
class RampGauge:
    """One ramp-limited quantity of a pool. `start` is what one period may use after idleness; `began` its first use."""

    rule: Ramp
    start: float
    began: float
    allowed: float
    period: int = 0
    used: float = 0

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` more would be slow enough growth, 0 if it is. The first use of a period always is."""
        self._turn_to(now)
        if not self.used or self.used + amount <= self.allowed:
            return 0
        return self.began + (self.period + 1) * self.rule.seconds - now

    def take(self, amount: float, now: float) -> None:
        """Count `amount` as used."""
        self._turn_to(now)
        self.used += amount

    def _turn_to(self, now: float) -> None:
        period = int((now - self.began + INSTANT) // self.rule.seconds)
        while self.period < period:
            if not self.used and self.allowed == self.start:  # idle, and nothing left to unlearn
                self.period = period
                return
            # What was used may grow; what was not used is unlearned as fast as it was learned.
            self.allowed = max(self.start, self.used * self.rule.factor, self.allowed / self.rule.factor)
            self.used, self.period = 0, self.period + 1


def gauge(rule: Ramp, per_minute: int, now: float) -> RampGauge:
    """A gauge that has seen nothing yet."""
    start = max(1.0, per_minute * rule.seconds / 60 * rule.start)
    return RampGauge(rule=rule, start=start, began=now, allowed=start)
