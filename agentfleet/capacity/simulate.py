"""Play one scenario: simpy's discrete events, the fleet, the scaler, the HorizontalPodAutoscaler.

The HorizontalPodAutoscaler asks the scaler at every sync, through KEDA, and KEDA itself at every polling interval; when
these intervals begin is drawn. All draws come from one seed: the same seed, the same second.
"""

from dataclasses import dataclass
from math import ceil
from random import Random
from typing import TYPE_CHECKING

from agentfleet.capacity.bucket import Provider
from agentfleet.capacity.cluster import Cluster, Hpa
from agentfleet.capacity.extras import library
from agentfleet.capacity.fleet import Fleet
from agentfleet.capacity.pods import Phase
from agentfleet.capacity.scalers import EVERY, Admissible, Scaler
from agentfleet.capacity.scenarios import Scenario
from agentfleet.capacity.tally import Rate
from agentfleet.capacity.timeline import Figures, Sample, figures
from agentfleet.domain import provider_room as room
from agentfleet.domain.provider_room import Calls
from agentfleet.domain.scaling import ScalePolicy

if TYPE_CHECKING:
    from simpy import Environment
    from simpy.events import ProcessGenerator


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened: the figures, the seconds, and where all steps are at the end."""

    figures: Figures
    samples: list[Sample]
    ready: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What does not change between scalers: sizes, pace, and prices in US dollars."""

    policy: ScalePolicy
    cluster: Cluster
    cpu_seconds: float
    """Of one core, per step, in the worker."""
    pod_price: float
    """Of one pod for one hour."""


def simulate(scenario: Scenario, scaler: Scaler, terms: Terms, seed: int) -> Outcome:
    """Play ``scenario`` to its end. Raises ``InvalidInput`` without simpy."""
    env: Environment = library("simpy").Environment()
    arrivals, lives = Random(seed), Random(seed + 1)
    provider = Provider(scenario.limits) if scenario.limits else None
    fleet = Fleet(
        env,
        terms.cluster,
        concurrency=terms.policy.concurrency,
        cpu=terms.cpu_seconds,
        provider=provider,
        admits=scaler.admits,
        random=Random(seed + 2),
    )
    hpa = Hpa(terms.cluster, terms.policy.min_workers, terms.policy.max_workers)
    fleet.begin(_first_pods(scenario, terms.policy))
    loop = _Loop(env, fleet, scaler, hpa, terms, scenario)
    env.process(_feed(env, fleet, scenario, arrivals, lives))
    env.process(loop.measure(after=lives.random() * EVERY))
    env.process(loop.poll(after=lives.random() * terms.cluster.polling))
    env.process(loop.sync(after=lives.random() * terms.cluster.sync))
    env.process(loop.watch())
    env.run(until=scenario.duration)
    for step in fleet.ready:
        step.waited += env.now - step.ready_at
    pending = [step.age(env.now) for step in fleet.ready]
    found = figures(loop.samples, fleet.tally, pending, least=terms.policy.min_workers, price=terms.pod_price)
    return Outcome(found, loop.samples, len(fleet.ready), fleet.running, fleet.waiting)


def _first_pods(scenario: Scenario, policy: ScalePolicy) -> int:
    """As many as the first minute's load needs with headroom: the fleet has been running for long."""
    slots = scenario.first_rate * scenario.mix.mean * (1 + policy.headroom)
    return min(max(ceil(slots / policy.concurrency), policy.min_workers, 1), policy.max_workers)


def _feed(env: "Environment", fleet: Fleet, scenario: Scenario, arrivals: Random, lives: Random) -> "ProcessGenerator":
    for at in scenario.arrivals(arrivals):
        if at > env.now:
            yield env.timeout(at - env.now)
        fleet.arrive(scenario.draw(env.now, lives))


class _Loop:
    """KEDA, the HorizontalPodAutoscaler, and who watches them."""

    def __init__(
        self, env: "Environment", fleet: Fleet, scaler: Scaler, hpa: Hpa, terms: Terms, scenario: Scenario
    ) -> None:
        self._env, self._fleet, self._scaler, self._hpa, self._terms = env, fleet, scaler, hpa, terms
        self._target = fleet.count(Phase.SERVING)
        self._wanted = float(self._target)
        slots = provider_slots(scenario)
        self._cap = None if slots is None else slots / terms.policy.concurrency
        self.samples = list[Sample]()

    def measure(self, *, after: float) -> "ProcessGenerator":
        yield self._env.timeout(after)
        while True:
            self._scaler.look(self._fleet, self._env.now)
            yield self._env.timeout(EVERY)

    def poll(self, *, after: float) -> "ProcessGenerator":
        yield self._env.timeout(after)
        while True:
            self._wanted = self._scaler.wanted(self._fleet, self._env.now)
            yield self._env.timeout(self._terms.cluster.polling)

    def sync(self, *, after: float) -> "ProcessGenerator":
        yield self._env.timeout(after)
        while True:
            self._wanted = self._scaler.wanted(self._fleet, self._env.now)
            self._target = self._hpa.sync(self._wanted, self._env.now, self._target)
            self._fleet.resize(self._target)
            yield self._env.timeout(self._terms.cluster.sync)

    def watch(self) -> "ProcessGenerator":
        while True:
            yield self._env.timeout(1.0)
            fleet, now = self._fleet, self._env.now
            self.samples.append(
                Sample(
                    at=now,
                    oldest_ready=now - fleet.ready[0].ready_at if fleet.ready else 0.0,
                    ready=len(fleet.ready),
                    running=fleet.running,
                    waiting=fleet.waiting,
                    demand=(len(fleet.ready) + fleet.running) / self._terms.policy.concurrency,
                    desired=self._wanted,
                    target=self._target,
                    serving=fleet.count(Phase.SERVING),
                    paid=len(fleet.pods),
                    cap=self._cap,
                    refused=fleet.provider.refused if fleet.provider else 0,
                )
            )


def provider_slots(scenario: Scenario) -> float | None:
    """Slots that the provider's limits can keep busy, by ``domain.provider_room``."""
    if scenario.limits is None:
        return None
    mix, (_, inputs, outputs) = scenario.mix, scenario.limits.a_call
    calls = Calls("model", 1_000, 1_000 * mix.call_seconds, 1_000 * inputs, 1_000 * outputs)
    tools = round(1_000 * (1 - mix.calls) / mix.calls)
    limits = {"account/model": scenario.limits.a_minute}
    return room.provider_slots({"model": [calls]}, limits, Calls(None, tools, tools * mix.tool_seconds))


def ours(scenario: Scenario, policy: ScalePolicy) -> Admissible:
    """The scaler that agentfleet brings, for a scenario."""
    return Admissible(policy, scenario.mix, Rate(scenario.first_rate), provider_slots(scenario), scenario.announced)
