"""Postgres and Redis for a rate of steps, from what one step was measured to cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from agentfleet.capacity.measured import Measured

BUSY = 0.6
"""The share of a database's CPU that is planned with: checkpoints, vacuum and backups need the rest."""
CLASSES = (2, 4, 8, 16, 32, 64)
"""vCPUs of usual instance classes, with 8 GiB each."""
ONE_POSTGRES = {"vCPU": 32.0, "WAL MB/s": 150.0, "IOPS": 40_000.0}
"""Where one primary ends for us: half of the largest usual class, since locks and not cores end its growth; what a
standby replays in one process; what one network volume usually writes. Experience, not a measurement."""
ONE_REDIS = 0.6
"""Cores: Redis executes commands on one."""
CONNECTIONS = 5
"""Per process: AGENTFLEET_POOL_SIZE and one to lead."""
DIRECT = 500
"""More connections than this want a pooler."""
WINDOW_MB = 1.0
"""AGENTFLEET_DISPATCH_WINDOW messages of at most 1 kB."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """All cells together; ``vcpu`` and ``ram_gb`` of each. ``limit`` is what makes it more than one."""

    cells: int
    limit: str
    vcpu: int
    ram_gb: int
    commits_per_s: float
    iops: float
    wal_mb_per_s: float
    gb_per_day: float
    gb_kept: float
    connections: int
    pooler: bool


@dataclass(frozen=True, slots=True)
class Redis:
    """All instances together, ``memory_mb`` of each."""

    instances: int
    memory_mb: int
    cores: float
    mb_per_s: float


def postgres(steps: float, cost: Measured, *, processes: int, days: float) -> Postgres:
    """For ``steps`` a second, kept for ``days``, and so many processes that are connected."""
    needs: Mapping[str, float] = {
        "vCPU": steps * cost.postgres_cpu_ms / 1_000 / BUSY,
        "WAL MB/s": steps * cost.wal_bytes_per_step / 1e6,
        "IOPS": steps * cost.io_per_step,
    }
    limit = max(needs, key=lambda name: needs[name] / ONE_POSTGRES[name])
    cells = max(ceil(needs[limit] / ONE_POSTGRES[limit]), 1)
    vcpu = next((size for size in CLASSES if size >= needs["vCPU"] / cells), CLASSES[-1])
    connections = ceil(processes * CONNECTIONS / cells)
    daily = steps * 86_400 * cost.table_bytes_per_step / 1e9
    return Postgres(
        cells,
        limit,
        vcpu,
        vcpu * 8,
        steps * cost.commits_per_step,
        needs["IOPS"],
        needs["WAL MB/s"],
        daily,
        daily * days,
        connections,
        connections > DIRECT,
    )


def redis(steps: float, cost: Measured, *, cells: int, answers_mb: float) -> Redis:
    """For ``steps`` a second; each cell has one of its own at least. ``answers_mb``: the cache of answers."""
    cores = steps * cost.redis_cpu_ms / 1_000
    instances = max(ceil(cores / ONE_REDIS), cells)
    return Redis(
        instances,
        ceil((cost.redis_base_mb + WINDOW_MB + answers_mb) * 2),
        cores,
        steps * cost.redis_bytes_per_step / 1e6,
    )
