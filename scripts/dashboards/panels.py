"""What a dashboard is made of, as Grafana's JSON model (https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
POSTGRES = {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}
WIDTH = 24
"""Columns of Grafana's grid."""
JOB = '{job=~"$job"}'


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. ``asks`` pairs an expression with its legend; ``{}`` in an expression is the choice of jobs.

    ``unit`` is one of Grafana's ids (``s``, ``short``, ``percentunit``, ``currencyUSD``, ``ops``). ``sql`` makes it a
    table from Postgres instead.
    """

    title: str
    asks: Sequence[tuple[str, str]] = ()
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    about: str = ""
    limit: float | None = None
    """A red line: above it something is wrong."""
    stacked: bool = False
    sql: str = ""
    text: str = ""


def q(metric: str, *labels: str) -> str:
    """``metric`` of the chosen jobs, with further matchers."""
    return metric + "{" + ",".join(['job=~"$job"', *labels]) + "}"


def rate(metric: str, *labels: str) -> str:
    """Its growth a second."""
    return f"rate({q(metric, *labels)}[$__rate_interval])"


def quantile(level: float, histogram: str, *labels: str, by: str = "") -> str:
    """A quantile of a histogram, in its own unit."""
    group = ", ".join(part for part in ("le", by) if part)
    return f"histogram_quantile({level:g}, sum by ({group}) ({rate(histogram + '_bucket', *labels)}))"


def panel(one: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Its JSON."""
    grid = {"x": x, "y": y, "w": one.width, "h": one.height}
    base: dict[str, Any] = {"id": number, "title": one.title, "description": one.about, "gridPos": grid}
    if one.text:
        return base | {"type": "text", "options": {"mode": "markdown", "content": one.text}}
    if one.sql:
        target = {"refId": "A", "format": "table", "rawQuery": True, "rawSql": one.sql, "datasource": POSTGRES}
        return base | {"type": "table", "datasource": POSTGRES, "targets": [target]}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    custom: dict[str, Any] = {"fillOpacity": 20 if one.stacked else 5, "lineWidth": 1, "showPoints": "never"}
    if one.stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if one.limit is not None:
        steps.append({"color": "red", "value": one.limit})
        custom["thresholdsStyle"] = {"mode": "line"}
    defaults = {"unit": one.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if one.kind == "timeseries":
        defaults["custom"] = custom
    return base | {
        "type": one.kind,
        "datasource": PROMETHEUS,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}} if one.kind == "timeseries" else {},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend, "datasource": PROMETHEUS}
            for index, (expression, legend) in enumerate(one.asks)
        ],
    }


def dashboard(
    name: str, title: str, rows: Sequence[tuple[str, Sequence[Panel]]], *, database: bool = False
) -> dict[str, Any]:
    """The JSON of a dashboard: rows of panels, laid out from left to right."""
    panels: list[dict[str, Any]] = []
    y = 0
    for heading, row in rows:
        panels.append({"id": len(panels) + 1, "type": "row", "title": heading, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})  # fmt: skip
        y, x, height = y + 1, 0, 0
        for one in row:
            if x + one.width > WIDTH:
                x, y, height = 0, y + height, 0
            panels.append(panel(one, len(panels) + 1, x, y))
            x, height = x + one.width, max(height, one.height)
        y += height
    return {
        "uid": f"agentfleet-{name}",
        "title": f"agentfleet / {title}",
        "tags": ["agentfleet"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "links": [{"type": "dashboards", "title": "agentfleet", "tags": ["agentfleet"], "asDropdown": True,
                   "includeVars": True, "keepTime": True}],
        "templating": {"list": _variables(database=database)},
        "panels": panels,
    }  # fmt: skip


def _variables(*, database: bool) -> list[dict[str, Any]]:
    source: dict[str, Any] = {"type": "datasource", "name": "prometheus", "label": "Prometheus", "query": "prometheus"}
    jobs = {
        "type": "query", "name": "job", "label": "Job", "datasource": PROMETHEUS, "includeAll": True, "multi": True,
        "allValue": ".*", "refresh": 2, "query": "label_values(agentfleet_build_info, job)",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip
    if not database:
        return [source, jobs]
    rows = {"type": "datasource", "name": "postgres", "label": "Postgres", "query": "grafana-postgresql-datasource"}
    run = {"type": "textbox", "name": "run", "label": "Run", "query": ""}
    return [source, jobs, rows, run]
