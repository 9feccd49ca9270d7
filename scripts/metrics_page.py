"""docs/metrics.md, from the metrics that are declared."""
# ruff: noqa: SLF001  # the library tells names, labels and bounds in no other way

from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from agentfleet.telemetry import metrics
from scripts.markdown import code, page, table

Metric = Counter | Gauge | Histogram
HEAD = ("Metric", "Labels", "Meaning")
LEADERS = "leaders"
EACH = "each process"


def metrics_page() -> str:
    """Every metric, by kind, in the order of the source."""
    found = [one for one in vars(metrics).values() if isinstance(one, Metric)]
    counters = [_row(one, "_total") for one in found if isinstance(one, Counter)]
    histograms = [(*_row(one), _bounds(one)) for one in found if isinstance(one, Histogram)]
    gauges = [(*_row(one), _teller(one)) for one in found if isinstance(one, Gauge)]
    return page(
        "Metrics",
        metrics,
        "How they are scraped, what to ask of them and the alerts: [Observing](guides/observe.md).",
        "## Counters",
        "They only rise, and begin again at 0 with their process: ask for a `rate` or an `increase`.",
        table(HEAD, counters),
        "## Histograms",
        "Each has `_bucket` (with the label `le`), `_count` and `_sum`.",
        table((*HEAD, "Buckets up to, in seconds"), histograms),
        "## Gauges",
        f"Those that {LEADERS} tell are about the whole database, and `NaN` or absent elsewhere: take their `max` over"
        " processes, never their `sum`.",
        table((*HEAD, "Told by"), gauges),
    )


def _row(metric: Any, suffix: str = "") -> tuple[str, str, str]:
    return f"`{metric._name}{suffix}`", code(metric._labelnames), metric._documentation


def _bounds(metric: Any) -> str:
    return ", ".join(f"{bound:g}" for bound in metric._upper_bounds[:-1])


def _teller(metric: Gauge) -> str:
    return LEADERS if metric in metrics.LED or metric in metrics.LED_WITHOUT_LABEL else EACH
