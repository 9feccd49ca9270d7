"""Postgres and Redis for a rate of steps, from what one step was measured to cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from agentfleet.capacity.measured import Measured

BUSY = 0.6
"""The share of a database's CPU that is planned with: checkpoints, vacuum and backups need the rest."""
CLASSES = (2, 4, 8, 16, 32, 64)
"""vCPUs of usual instance classes, with 8 GiB each."""
ONE_CELL = {"Postgres vCPU": 32.0, "WAL MB/s": 150.0, "IOPS": 40_000.0, "Redis cores": 0.6}
"""Where one Postgres with its Redis ends: half of the largest usual class, since locks and not cores end its growth;
what a standby replays in one process; what one network volume usually writes; most of the one core that executes
Redis' commands. Experience, not a measurement."""
CONNECTIONS = 5
"""Per process: AGENTFLEET_POOL_SIZE and one to lead."""
DIRECT = 500
"""More connections than this want a pooler."""
WINDOW_MB = 1.0
"""AGENTFLEET_DISPATCH_WINDOW messages of at most 1 kB."""


@dataclass(frozen=True, slots=True)
class Servers:
    """``cells`` of one Postgres and one Redis each, because of ``limit``; sizes are of each, the rest of all."""

    cells: int
    limit: str
    vcpu: int
    ram_gb: int
    connections: int
    pooler: bool
    redis_mb: int
    redis_cores: float
    redis_mb_per_s: float
    commits_per_s: float
    iops: float
    wal_mb_per_s: float
    gb_per_day: float
    gb_kept: float


def servers(steps: float, cost: Measured, *, processes: int, days: float, answers_mb: float) -> Servers:
    """For ``steps`` a second that are kept for ``days``, so many processes, and a cache of answers of that size."""
    needs: Mapping[str, float] = {
        "Postgres vCPU": steps * cost.postgres_cpu_ms / 1_000 / BUSY,
        "WAL MB/s": steps * cost.wal_bytes_per_step / 1e6,
        "IOPS": steps * cost.io_per_step,
        "Redis cores": steps * cost.redis_cpu_ms / 1_000,
    }
    limit = max(needs, key=lambda name: needs[name] / ONE_CELL[name])
    cells = max(ceil(needs[limit] / ONE_CELL[limit]), 1)
    vcpu = next((size for size in CLASSES if size >= needs["Postgres vCPU"] / cells), CLASSES[-1])
    connections = ceil(processes * CONNECTIONS / cells)
    daily = steps * 86_400 * cost.table_bytes_per_step / 1e9
    return Servers(
        cells=cells,
        limit=limit,
        vcpu=vcpu,
        ram_gb=vcpu * 8,
        connections=connections,
        pooler=connections > DIRECT,
        redis_mb=ceil((cost.redis_base_mb + WINDOW_MB + answers_mb) * 2),
        redis_cores=needs["Redis cores"],
        redis_mb_per_s=steps * cost.redis_bytes_per_step / 1e6,
        commits_per_s=steps * cost.commits_per_step,
        iops=needs["IOPS"],
        wal_mb_per_s=needs["WAL MB/s"],
        gb_per_day=daily,
        gb_kept=daily * days,
    )
