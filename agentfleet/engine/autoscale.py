"""Autoscale: decide how many workers a pool should have, once every few seconds however many ask and wherever.

What is remembered between two decisions is a row in Postgres, so that any ingress may be asked, and all of them answer
alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import orjson

from agentfleet.domain.scaling import Decision, Load, ScalePolicy, ScaleState, decide
from agentfleet.store import capacity
from agentfleet.store.capacity import Decided, Facts
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

EVERY = 5.0
"""Seconds between two decisions about a pool: who asks sooner gets the last one."""
STEP_SECONDS = 10.0
"""For which a step is taken to hold a slot, until the pool has done some."""
BINDINGS = ("work", "provider", "max", "min")
SIZES = (metrics.DESIRED_WORKERS, metrics.DESIRED_SLOTS, metrics.PROVIDER_CAPACITY_SLOTS)


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What is wanted of a pool. ``lead``: seconds from wanting a worker to having it at work. ``forecast``: whether
    last week counts.
    """

    scale: ScalePolicy
    lead: float = 120.0
    forecast: bool = True


class Autoscaler:
    """Decides, by ``policy`` of a pool; keeps nothing itself."""

    def __init__(self, db: Database, policy: Callable[[str], PoolPolicy]) -> None:
        self._db, self._policy = db, policy

    async def __call__(self, pool: str) -> Decided:
        """The pool's decision of this moment, as JSON; raises ``NotFound`` for a pool that nobody has measured."""
        policy = self._policy(pool)

        def fresh(facts: Facts, state: str | None) -> tuple[str, str]:
            decision = decide(load_of(facts, policy), policy.scale, _state(state), facts.now.timestamp())
            metrics.SCALE_DECISIONS.labels(pool).inc()
            return orjson.dumps(document(facts, decision, policy)).decode(), orjson.dumps(
                asdict(decision.state)
            ).decode()

        return await capacity.decide_once(self._db, pool, every=EVERY, lead=policy.lead, decide=fresh)


class ScaleGauges:
    """Tells what was decided last, from the one process that leads: so that it is seen when nobody asks any more. A
    pool that nobody has asked about for a day is not sized by us: nothing is told of it.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._told: set[str] = set()

    async def run_once(self) -> int:
        """Set the gauges; always 0."""
        found = {each.pool: each for each in await capacity.decided(self._db)}
        for pool in self._told - found.keys():
            for gauge in (*SIZES, metrics.SCALE_DECIDED):
                gauge.remove(pool)
            for binding in BINDINGS:
                metrics.SCALE_BOUND.remove(pool, binding)
        for each in found.values():
            _tell(each)
        self._told = set(found)
        return 0


def _tell(decided: Decided) -> None:
    found = orjson.loads(decided.decision)
    sizes = (found["desired_workers"], found["desired_slots"], found["provider_slots"])
    for gauge, size in zip(SIZES, sizes, strict=True):
        gauge.labels(decided.pool).set(inf if size is None else size)
    metrics.SCALE_DECIDED.labels(decided.pool).set(decided.decided_at.timestamp())
    for binding in BINDINGS:
        metrics.SCALE_BOUND.labels(decided.pool, binding).set(found["binding"] == binding)


def load_of(facts: Facts, policy: PoolPolicy) -> Load:
    """What the pool has to do. Who waits for the provider counts where its capacity is known, which bounds it."""
    queued = 0 if facts.provider_slots is None else facts.queued
    return Load(
        facts.ready,
        facts.running,
        facts.due + queued,
        arrivals=facts.rate,
        step_seconds=facts.step_seconds or STEP_SECONDS,
        oldest_ready=facts.oldest,
        forecast=max(facts.expected, facts.last_week if policy.forecast else 0.0),
        provider_slots=facts.provider_slots,
    )


def document(facts: Facts, decision: Decision, policy: PoolPolicy) -> Mapping[str, Any]:
    """The answer, with what it was made of."""
    load = load_of(facts, policy)
    return {
        "pool": facts.pool,
        "desired_workers": decision.workers,
        "desired_slots": round(decision.slots, 1),
        "demand": decision.demand,
        "provider_slots": None if load.provider_slots is None else round(load.provider_slots, 1),
        "binding": decision.binding,
        "reason": decision.reason,
        "decided_at": facts.now.isoformat(),
        "slots_per_worker": policy.scale.concurrency,
        "min_workers": policy.scale.min_workers,
        "max_workers": policy.scale.max_workers,
        "waiting": load.ready + load.due,
        "running": load.running,
        "oldest_ready_seconds": round(load.oldest_ready, 1),
        "arrivals_per_second": round(load.arrivals, 3),
        "forecast_per_second": round(load.forecast, 3),
        "step_seconds": round(load.step_seconds, 3),
    }


def _state(text: str | None) -> ScaleState:
    if text is None:
        return ScaleState()
    found = orjson.loads(text)
    return ScaleState(found["desired"], found["at"], _pairs(found["sizes"]), _pairs(found["wanted"]))


def _pairs(values: list[list[Any]]) -> tuple[tuple[float, int], ...]:
    return tuple((at, size) for at, size in values)
