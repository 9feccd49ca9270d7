"""Token buckets of the rate limits: requests, input and output tokens a minute, per organization and model group.

Rules from https://platform.claude.com/docs/en/api/rate-limits: refilled continuously; cache reads do not count as
input; output counts as it is produced, so `max_tokens` plays no part and the output bucket may run into debt.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from agentfleet.simulator.config import Limits, SimulatorConfig
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.wire import Headers

NAMES = ("requests", "input-tokens", "output-tokens")


@dataclass(slots=True)
class Bucket:
    """One bucket. `limit` per minute, `level` what is left, `at` when `level` was true (clock seconds)."""

    limit: int
    capacity: float
    level: float
    at: float

    def refill(self, now: float) -> None:
        """Bring `level` up to `now`."""
        self.level = min(self.capacity, self.level + max(0.0, now - self.at) * self.limit / 60)
        self.at = now

    def wait(self, amount: float) -> float:
        """Seconds until `amount` is there, 0 if it is. A request larger than the bucket needs a full one."""
        return max(0.0, min(amount, self.capacity) - self.level) * 60 / self.limit

    def wait_full(self) -> float:
        """Seconds until the bucket is full, which is what the `reset` header means."""
        return (self.capacity - self.level) * 60 / self.limit


@dataclass(slots=True)
class Buckets:
    """All buckets of a simulator, made on first use."""

    config: SimulatorConfig
    made: dict[tuple[str, str], tuple[Bucket, Bucket, Bucket]] = field(
        default_factory=dict[tuple[str, str], tuple[Bucket, Bucket, Bucket]]
    )

    def admit(self, scope: tuple[str, str], input_tokens: int, now: float) -> None:
        """Take one request and its input tokens, or raise 429 with `retry-after` and take nothing."""
        trio = self._trio(scope, now)
        waits = [bucket.wait(need) for bucket, need in zip(trio, (1, input_tokens, 1), strict=True)]
        worst = max(waits)
        if worst > 0:
            name = NAMES[waits.index(worst)].replace("-", " ")
            raise ApiError(
                429,
                f"This request would exceed your organization's rate limit of {trio[waits.index(worst)].limit:,} "
                f"{name} per minute (model group: {scope[1]}).",
                headers={"retry-after": str(max(1, math.ceil(worst)))},
            )
        trio[0].level -= 1
        trio[1].level -= input_tokens

    def produce(self, scope: tuple[str, str], output_tokens: int, now: float) -> None:
        """Charge output tokens that have been produced."""
        self._trio(scope, now)[2].level -= output_tokens

    def headers(self, scope: tuple[str, str], now: float) -> Headers:
        """The twelve `anthropic-ratelimit-*` headers. Tokens left are rounded to the nearest thousand."""
        trio = self._trio(scope, now)
        rows = [
            (name, bucket.limit, bucket.level, now + bucket.wait_full())
            for name, bucket in zip(NAMES, trio, strict=True)
        ]
        both = rows[1:]
        rows.append(("tokens", sum(r[1] for r in both), sum(max(0, r[2]) for r in both), max(r[3] for r in both)))
        headers: Headers = []
        for name, limit, left, reset in rows:
            shown = max(0, int(left)) if name == "requests" else max(0, round(left / 1000) * 1000)
            stem = b"anthropic-ratelimit-" + name.encode()
            headers.append((stem + b"-limit", b"%d" % limit))
            headers.append((stem + b"-remaining", b"%d" % shown))
            headers.append((stem + b"-reset", rfc3339(math.ceil(reset))))
        return headers

    def _trio(self, scope: tuple[str, str], now: float) -> tuple[Bucket, Bucket, Bucket]:
        trio = self.made.get(scope)
        if trio is None:
            limits = self.config.limits_by_group.get(scope[1], self.config.limits)
            trio = self.made[scope] = self._fill(limits, now)
        for bucket in trio:
            bucket.refill(now)
        return trio

    def _fill(self, limits: Limits, now: float) -> tuple[Bucket, Bucket, Bucket]:
        def full(limit: int) -> Bucket:
            capacity = max(1.0, limit * self.config.burst_seconds / 60)
            return Bucket(limit=limit, capacity=capacity, level=capacity, at=now)

        return (
            full(limits.requests_per_minute),
            full(limits.input_tokens_per_minute),
            full(limits.output_tokens_per_minute),
        )


@lru_cache(maxsize=1024)
def rfc3339(seconds: int) -> bytes:
    """Unix seconds as `2026-11-21T10:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
