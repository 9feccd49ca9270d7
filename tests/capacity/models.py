"""Small simulations that several claims share."""

from functools import cache

from agentfleet.capacity.cluster import Cluster
from agentfleet.capacity.scalers import Cpu, QueueLength, Scaler
from agentfleet.capacity.scenarios import Scenario, named
from agentfleet.capacity.simulate import Outcome, Terms, ours, simulate
from agentfleet.domain.scaling import ScalePolicy

POLICY = ScalePolicy(concurrency=60, min_workers=2, max_workers=50)
"""The chart's slots and the simulator's load, both by eight: an eighth of the time."""
TERMS = Terms(POLICY, Cluster(), cpu_seconds=0.004, pod_price=0.03)
RATE = 2.4


@cache
def played(name: str, seed: int, scaler: str = "agentfleet", rate: float = RATE) -> Outcome:
    scenario = named(name, rate)
    return simulate(scenario, _scaler(scaler, scenario), TERMS, seed)


def _scaler(name: str, scenario: Scenario) -> Scaler:
    return {"agentfleet": ours(scenario, POLICY), "queue": QueueLength(POLICY), "cpu": Cpu()}[name]
