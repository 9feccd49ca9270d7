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
        ("Postgres and Redis", _cells),
        ("  Postgres, each", lambda p: f"{p.servers.vcpu} vCPU, {p.servers.ram_gb} GiB"),
        ("  commits, I/O operations a second", lambda p: f"{p.servers.commits_per_s:,.0f}, {p.servers.iops:,.0f}"),
        ("  WAL", lambda p: f"{p.servers.wal_mb_per_s:,.1f} MB/s"),
        ("  growth, and kept", lambda p: f"{p.servers.gb_per_day:,.0f} GB a day, {p.servers.gb_kept / 1000:,.1f} TB"),
        ("  connections, each", lambda p: f"{p.servers.connections:,}{', PgBouncer' if p.servers.pooler else ''}"),
        ("  Redis, each", _redis),
        ("provider: calls a minute", lambda p: f"{p.quota.needs['requests']:,.0f}"),
        ("  tokens a minute, in / out", _tokens),
        ("  tier", lambda p: f"{p.quota.organizations:,} x {p.quota.tier}, {p.quota.axis} bind{_s(p)}"),
        (f"{model}, US dollars a day", lambda p: f"{p.tokens_usd_per_day:,.0f}"),
        ("pods, US dollars a day", lambda p: f"{p.pods_usd_per_day:,.0f}"),
    ]


def _s(plan: "Plan") -> str:
    return "s" if plan.quota.axis == "spend" else ""


def _cells(plan: "Plan") -> str:
    cells = plan.servers.cells
    return "one of each" if cells == 1 else f"{cells:,} cells: {plan.servers.limit} end one"


def _redis(plan: "Plan") -> str:
    found = plan.servers
    return f"{found.redis_mb} MB; {found.redis_cores:.2f} cores, {found.redis_mb_per_s:,.1f} MB/s in all"


def _tokens(plan: "Plan") -> str:
    needs = plan.quota.needs
    return f"{needs['input tokens'] / 1e6:,.1f} M / {needs['output tokens'] / 1e6:,.1f} M"
