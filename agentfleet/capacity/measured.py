"""What one step costs, as ``python -m benchmarks.rightsize --write`` measured it on a real fleet: measured.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Measured:
    """Per step, unless named otherwise; CPU in milliseconds of one core of ``machine``."""

    date: str
    commit: str
    machine: str
    python: str
    foreign_cores: float
    """What other programs used meanwhile: above 0.3 the CPU figures are too high."""
    steps: int
    steps_per_s: float
    """While it was measured."""
    worker_cpu_ms: float
    duties_cpu_ms: float
    """Dispatcher and reconciler."""
    submit_cpu_ms: float
    """Of the ingress, per run."""
    postgres_cpu_ms: float
    redis_cpu_ms: float
    commits_per_step: float
    wal_bytes_per_step: float
    io_per_step: float
    """Writes and fsyncs of Postgres, WAL and data."""
    table_bytes_per_step: float
    redis_bytes_per_step: float
    """In and out, over the network."""
    redis_base_mb: float
    rss_mb: Mapping[str, float]
    """Resident megabytes of a worker, by the steps that it has in flight."""

    @property
    def idle_mb(self) -> float:
        """A worker without steps."""
        return min(self.rss_mb.values())

    @property
    def slot_kb(self) -> float:
        """What each step in flight adds."""
        most = max(self.rss_mb, key=int)
        return (self.rss_mb[most] - self.idle_mb) * 1_000 / max(int(most), 1)


@cache
def measured() -> Measured:
    """The figures that ship with this version."""
    found = json.loads(files("agentfleet.capacity").joinpath("measured.json").read_text(encoding="utf-8"))
    return Measured(**{field.name: found[field.name] for field in fields(Measured)})
