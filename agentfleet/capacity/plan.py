"""How much of everything a rate of requests needs: Little's law times the measured cost of a step.

It is arithmetic on figures of one small machine: up to about ten times the rate that was measured it is an estimate,
beyond that an extrapolation, and ``Plan.times_measured`` says which.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from agentfleet.capacity.measured import Measured
from agentfleet.capacity.servers import Servers, servers
from agentfleet.capacity.tiers import Quota, quota

BUSY = 0.7
"""The share of a core that a pod's processes are planned to use."""
SPARE = 1.5
"""Memory requested per memory measured: prompts and answers of other sizes."""
DAY, MONTH = 86_400, 30
MOST_SLOTS = 2_000
"""Of one worker: AGENTFLEET_WORKER_CAPACITY, and what was measured."""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens, and for a pod for an hour."""

    model: str
    input: Decimal
    output: Decimal
    read: Decimal
    pod_hour: Decimal


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for. A run of n steps calls the model n // 2 + 1 times and tools in between."""

    rps: float
    """Runs submitted a second."""
    step_seconds: float = 6.5
    tokens_in: float = 3_000.0
    tokens_out: float = 500.0
    cached: float = 0.0
    """The share of input tokens that is read from the provider's cache: cheaper, and not limited."""
    steps_per_run: int = 1
    headroom: float = 0.4
    pod_cpu: float = 0.5
    days: float = 30.0
    """For how long runs are kept."""

    @property
    def steps(self) -> float:
        """Steps a second."""
        return self.rps * self.steps_per_run

    @property
    def calls(self) -> float:
        """Model calls a second."""
        return self.rps * (self.steps_per_run // 2 + 1)


@dataclass(frozen=True, slots=True)
class Pod:
    """What one worker pod should have: slots, and what to request."""

    concurrency: int
    cpu: float
    """Cores at this concurrency, when full."""
    memory_mb: int
    binding: str
    """What bounds the slots: CPU, or how many were measured in one process."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer for one rate."""

    rps: float
    steps_per_s: float
    slots: int
    workers: int
    pod: Pod
    ingress_pods: int
    duties: int
    """Pairs of dispatcher and reconciler, that is pools (or cells): one leads each."""
    servers: Servers
    quota: Quota
    tokens_usd_per_day: float
    pods_usd_per_day: float
    times_measured: float
    """How many times the rate that was measured this is."""


def plan(demand: Demand, cost: Measured, prices: Prices, *, answers_mb: float = 64.0) -> Plan:
    """Everything for ``demand``."""
    pod = rightsize(demand, cost)
    slots = ceil(demand.steps * demand.step_seconds * (1 + demand.headroom))
    workers = max(ceil(slots / pod.concurrency), 2)
    ingress = max(ceil(demand.rps * cost.submit_cpu_ms / 1_000 / BUSY), 2)
    duties = max(ceil(demand.steps * cost.duties_cpu_ms / 1_000 / BUSY), 1)
    processes = workers + ingress + 4 * duties
    found = servers(demand.steps, cost, processes=processes, days=demand.days, answers_mb=answers_mb)
    spent = _per_call(demand, prices) * demand.calls * DAY
    fresh = demand.tokens_in * (1 - demand.cached)
    a_minute = demand.calls * 60
    needs = (a_minute, a_minute * fresh, a_minute * demand.tokens_out, spent * MONTH)
    return Plan(
        demand.rps,
        demand.steps,
        slots,
        workers,
        pod,
        ingress,
        max(duties, found.cells),
        found,
        quota(needs),
        spent,
        processes * float(prices.pod_hour) * 24,
        demand.steps / cost.steps_per_s,
    )


def rightsize(demand: Demand, cost: Measured) -> Pod:
    """As many slots as a pod's CPU can serve, at steps of this length."""
    by_cpu = int(demand.pod_cpu * BUSY / (cost.worker_cpu_ms / 1_000) * demand.step_seconds)
    slots = max(min(by_cpu, MOST_SLOTS), 1)
    cpu = slots / demand.step_seconds * cost.worker_cpu_ms / 1_000
    memory = (cost.idle_mb + slots * cost.slot_kb / 1_000) * SPARE
    return Pod(slots, cpu, ceil(memory / 64) * 64, "CPU" if by_cpu < MOST_SLOTS else "slots")


def _per_call(demand: Demand, prices: Prices) -> float:
    read = demand.tokens_in * demand.cached
    tokens = (
        (demand.tokens_in - read) * float(prices.input)
        + read * float(prices.read)
        + demand.tokens_out * float(prices.output)
    )
    return tokens / 1e6
