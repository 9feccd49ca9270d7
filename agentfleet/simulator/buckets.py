"""Token buckets of the rate limits: requests, input and output tokens a minute, per organization and model group.

Rules from https://platform.claude.com/docs/en/api/rate-limits: refilled continuously; cache reads do not count as
input, except where a group's limits say so; output counts as it is produced, so `max_tokens` plays no part and the
output bucket may run into debt. count_tokens and the batch endpoints have a bucket of calls each.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from agentfleet.simulator.config import Limits, SimulatorConfig
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.meter import Meter
from agentfleet.simulator.ramp import INSTANT, RampGauge, gauge
from agentfleet.simulator.wire import Headers

REQUESTS, INPUT, OUTPUT = NAMES = ("requests", "input-tokens", "output-tokens")
TOKEN_COUNT, BATCH = "token_count", "batch"  # not model groups, and limited in calls only
REFUSALS_KEPT = 100_000

Scope = tuple[str, str]  # organization, and model group or surface


@dataclass(slots=True)
class Bucket:
    """One bucket. `limit` per minute, `level` what is left, `at` when `level` was true (clock seconds)."""

    limit: int
    capacity: float
    level: float
    at: float
    meter: Meter = field(default_factory=Meter)

    def refill(self, now: float) -> None:
        """Bring `level` up to `now`."""
        if now <= self.at:
            return
        full_at = self.at + self.wait_full()
        if full_at < now:
            self.meter.spill(full_at, now)
        self.level = min(self.capacity, self.level + (now - self.at) * self.limit / 60)
        self.at = now

    def wait(self, amount: float) -> float:
        """Seconds until `amount` is there, 0 if it is. A request larger than the bucket needs a full one."""
        seconds = (min(amount, self.capacity) - self.level) * 60 / self.limit
        return seconds if seconds > INSTANT else 0.0

    def wait_full(self) -> float:
        """Seconds until the bucket is full, which is what the `reset` header means."""
        return (self.capacity - self.level) * 60 / self.limit

    def take(self, amount: float) -> None:
        """Take it, if need be into debt."""
        self.level -= amount
        self.meter.take(amount, self.at)

    def resize(self, limit: int, capacity: float) -> None:
        """Another limit from now on; what was left stays, as far as it fits."""
        self.limit, self.capacity, self.level = limit, capacity, min(self.level, capacity)
        self.meter.set_rate(limit, self.at)


@dataclass(slots=True)
class Pool:
    """The buckets that one request takes from together, its ramp gauges, and when it refused: (time, error code)."""

    limits: Limits | int  # of a surface, its calls a minute
    burst: float  # seconds of refill a full bucket holds
    made: float
    buckets: dict[str, Bucket] = field(default_factory=dict[str, Bucket])
    ramps: dict[str, RampGauge] = field(default_factory=dict[str, RampGauge])
    refused: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=REFUSALS_KEPT))


@dataclass(slots=True)
class Buckets:
    """All pools of a simulator, made on first use. `config` may be replaced at any time."""

    config: SimulatorConfig
    pools: dict[Scope, Pool] = field(default_factory=dict[Scope, Pool])

    def admit(self, scope: Scope, input_tokens: int, now: float, *, cache_reads: int = 0) -> Mapping[str, int]:
        """Take one request and its input tokens, or raise 429 with `retry-after` and take nothing.

        Returns what was taken, by bucket. `cache_reads` are taken only where they count.
        """
        pool = self.pool(scope, now)
        if isinstance(pool.limits, Limits) and pool.limits.cache_reads_count:
            input_tokens += cache_reads
        wants = {REQUESTS: 1, INPUT: input_tokens, OUTPUT: 1}
        waits = {name: bucket.wait(wants[name]) for name, bucket in pool.buckets.items()}
        scarce = max(waits, key=lambda name: waits[name])
        if waits[scarce] > 0:
            self._refuse(pool, now, waits[scarce], _empty(scope, scarce, pool.buckets[scarce].limit))
        ramp_wait = max((ramp.wait(wants[name], now) for name, ramp in pool.ramps.items()), default=0)
        if ramp_wait > 0:
            self._refuse(pool, now, ramp_wait, "Your organization's usage is growing too fast.", "ramp_limit_exceeded")
        taken = {name: wants[name] for name in (REQUESTS, INPUT) if name in pool.buckets}
        for name, amount in taken.items():
            pool.buckets[name].take(amount)
            if name in pool.ramps:
                pool.ramps[name].take(amount, now)
        return taken

    def produce(self, scope: Scope, output_tokens: int, now: float) -> None:
        """Charge output tokens that have been produced."""
        self.pool(scope, now).buckets[OUTPUT].take(output_tokens)

    def headers(self, scope: Scope, now: float) -> Headers:
        """The `anthropic-ratelimit-*` headers: twelve, or three. Tokens left are rounded to the nearest thousand."""
        rows = [
            (name, bucket.limit, bucket.level, now + bucket.wait_full())
            for name, bucket in self.pool(scope, now).buckets.items()
        ]
        if both := rows[1:]:
            rows.append(("tokens", sum(r[1] for r in both), sum(max(0, r[2]) for r in both), max(r[3] for r in both)))
        headers: Headers = []
        for name, limit, left, reset in rows:
            shown = max(0, int(left)) if name == REQUESTS else max(0, round(left / 1000) * 1000)
            stem = b"anthropic-ratelimit-" + name.encode()
            headers.append((stem + b"-limit", b"%d" % limit))
            headers.append((stem + b"-remaining", b"%d" % shown))
            headers.append((stem + b"-reset", rfc3339(math.ceil(reset))))
        return headers

    def pool(self, scope: Scope, now: float) -> Pool:
        """The pool of an organization and a group, refilled up to `now`, with the limits of now."""
        pool, terms = self.pools.get(scope), (self._limits(scope), self.config.burst_seconds)
        if pool is None:
            pool = self.pools[scope] = Pool(*terms, made=now)
            _fit(pool, now)
        for bucket in pool.buckets.values():
            bucket.refill(now)
        if (pool.limits, pool.burst) != terms:
            pool.limits, pool.burst = terms
            _fit(pool, now)
        return pool

    def _limits(self, scope: Scope) -> Limits | int:
        organization, group = scope
        if group == TOKEN_COUNT:
            return self.config.counts_per_minute
        if group == BATCH:
            return self.config.batches.calls_per_minute
        return self.config.limits_of(organization, group)

    def _refuse(self, pool: Pool, now: float, wait: float, message: str, code: str | None = None) -> None:
        pool.refused.append((now, code or "rate_limited"))
        raise ApiError(429, message, code, {"retry-after": str(max(1, math.ceil(wait - INSTANT)))})


def _fit(pool: Pool, now: float) -> None:
    """Make the pool's buckets and gauges what its limits say. A bucket that is new is full."""
    limits = pool.limits
    rates = (limits,) if isinstance(limits, int) else per_minute(limits)
    for name, limit in zip(NAMES, rates, strict=False):
        capacity = max(1.0, limit * pool.burst / 60)
        bucket = pool.buckets.setdefault(name, Bucket(limit=0, capacity=capacity, level=capacity, at=now))
        bucket.resize(limit, capacity)
    ramp = None if isinstance(limits, int) else limits.ramp
    pool.ramps = {name: gauge(ramp, pool.buckets[name].limit, now) for name in (REQUESTS, INPUT)} if ramp else {}


def per_minute(limits: Limits) -> tuple[int, int, int]:
    """Requests, input tokens and output tokens a minute."""
    return limits.requests_per_minute, limits.input_tokens_per_minute, limits.output_tokens_per_minute


def _empty(scope: Scope, name: str, limit: int) -> str:
    return (
        f"This request would exceed your organization's rate limit of {limit:,} {name.replace('-', ' ')} per minute "
        f"(model group: {scope[1]})."
    )


@lru_cache(maxsize=1024)
def rfc3339(seconds: int) -> bytes:
    """Unix seconds as `2026-11-21T10:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
