"""The rows of a plan's table."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentfleet.capacity.plan import Plan


def rows(model: str) -> "list[tuple[str, Callable[[Plan], str]]]":
    """Names, and what to tell of a plan."""
    return [
        ("steps a second", lambda p: f"{p.steps_per_s:,.0f} ({p.times_measured:,.0f}x measured)"),
        ("slots", lambda p: f"{p.slots:,}"),
        ("worker pods", lambda p: f"{p.workers:,} of {p.pod.concurrency:,} slots"),
        ("ingress pods", lambda p: f"{p.ingress_pods:,}"),
        ("dispatchers and reconcilers that lead", lambda p: f"{p.duties:,} of each"),
        ("Postgres", _postgres),
        ("  commits, I/O operations a second", lambda p: f"{p.postgres.commits_per_s:,.0f}, {p.postgres.iops:,.0f}"),
        ("  WAL", lambda p: f"{p.postgres.wal_mb_per_s:,.1f} MB/s"),
        ("  growth, and kept", lambda p: f"{p.postgres.gb_per_day:,.0f} GB a day, {p.postgres.gb_kept / 1000:,.1f} TB"),
        ("  connections, each", lambda p: f"{p.postgres.connections:,}{', PgBouncer' if p.postgres.pooler else ''}"),
        ("Redis", _redis),
        ("provider: calls a minute", lambda p: f"{p.quota.needs['requests']:,.0f}"),
        ("  tokens a minute, in / out", _tokens),
        ("  tier", lambda p: f"{p.quota.organizations:,} x {p.quota.tier}, {p.quota.axis} bind{_s(p)}"),
        (f"{model}, US dollars a day", lambda p: f"{p.tokens_usd_per_day:,.0f}"),
        ("pods, US dollars a day", lambda p: f"{p.pods_usd_per_day:,.0f}"),
    ]


def _s(plan: "Plan") -> str:
    return "s" if plan.quota.axis == "spend" else ""


def _postgres(plan: "Plan") -> str:
    found = plan.postgres
    cells = f"{found.cells:,} cells of " if found.cells > 1 else ""
    return f"{cells}{found.vcpu} vCPU, {found.ram_gb} GiB" + (f" ({found.limit} end one)" if cells else "")


def _redis(plan: "Plan") -> str:
    found = plan.redis
    count = f"{found.instances:,} of " if found.instances > 1 else ""
    return f"{count}{found.memory_mb} MB; {found.cores:.2f} cores, {found.mb_per_s:,.1f} MB/s in all"


def _tokens(plan: "Plan") -> str:
    needs = plan.quota.needs
    return f"{needs['input tokens'] / 1e6:,.1f} M / {needs['output tokens'] / 1e6:,.1f} M"
