"""The chart's dashboards: current, of metrics and labels that exist, in a language that Prometheus and Postgres speak."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from psycopg.conninfo import make_conninfo

from agentfleet.telemetry import metrics
from scripts.dashboards.__main__ import PLACE, documents
from tests.acceptance.stacks import until
from tests.factories import submit
from tests.tooling import program

DASHBOARDS = {path.stem: json.loads(text) for path, text in documents().items()}
NAMES = ("fleet", "provider", "runs", "autoscaler", "reliability", "api")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
OF_THE_SCRAPE = {"job", "instance", "le"}
SELECTOR = re.compile(r"(agentfleet_\w+)\{([^}]*)\}")
GROUPS = re.compile(r"by \(([^)]*)\)")


def asked(dashboard: dict[str, Any]) -> Iterator[str]:
    """Every PromQL expression, as Grafana would send it."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            if "expr" in target:
                yield target["expr"].replace("$job", ".*").replace("$__rate_interval", "5m")


EXPRESSIONS = [(name, expression) for name, dashboard in DASHBOARDS.items() for expression in asked(dashboard)]


def declared() -> dict[str, set[str]]:
    """Every series that our code can serve, and its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in SUFFIXES[metric._type]:
                found[metric._name + suffix] = set(metric._labelnames)
    return found


def test_the_chart_has_what_the_panels_say():
    assert sorted(path.name for path in PLACE.glob("*.json")) == sorted(f"{name}.json" for name in NAMES)
    for path, text in documents().items():
        assert path.read_text() == text, "not current: python -m scripts.dashboards"


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_grid_without_overlapping(name):
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_ids_are_unique_and_links_lead_to_each_other():
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(NAMES)
    for dashboard in DASHBOARDS.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        assert dashboard["links"][0]["tags"] == dashboard["tags"]


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_exist(name, expression):
    series = declared()
    selectors = SELECTOR.findall(expression)
    assert selectors, "no metric of ours"
    known: set[str] = set(OF_THE_SCRAPE)
    for metric, matchers in selectors:
        assert metric in series, metric
        assert set(re.findall(r"(\w+)[=!]", matchers)) <= series[metric] | OF_THE_SCRAPE, metric
        known |= series[metric]
    for group in GROUPS.findall(expression):
        assert {label.strip() for label in group.split(",")} <= known, expression


def test_prometheus_understands_every_expression(tmp_path):
    rules = [{"record": f"panel:{index}", "expr": expression} for index, (_, expression) in enumerate(EXPRESSIONS)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([program("promtool"), "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_every_metric_is_in_the_scrape_of_a_fleet(scrape):
    served = {line.split()[2] for text in scrape.texts.values() for line in text.splitlines() if line[:6] == "# TYPE"}
    for name, expression in EXPRESSIONS:
        for metric, _ in SELECTOR.findall(expression):
            assert {metric, re.sub(r"_(bucket|count|sum)$", "", metric)} & served, (name, metric)


def test_a_real_prometheus_answers_every_panel(prometheus):
    def shown() -> dict[str, int]:
        counts = dict.fromkeys(NAMES, 0)
        for name, expression in EXPRESSIONS:
            counts[name] += bool(prometheus.ask("query", query=expression)["result"])
        return counts

    until(lambda: min(shown().values()) >= 5, "every dashboard has something to show")


def statements() -> list[tuple[str, str]]:
    return [
        (panel["title"], target["rawSql"])
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        if "rawSql" in target
    ]


@pytest.mark.parametrize(("title", "statement"), statements())
async def test_postgres_answers_about_one_run_and_about_none(title, statement, db, database_url):
    run_id = (await submit(db)).run_id
    with psycopg.connect(make_conninfo(database_url), autocommit=True) as connection:
        connection.execute("SET ROLE agentfleet_fleet")
        assert connection.execute(statement.replace("${run}", "")).fetchall() == []
        assert connection.execute(statement.replace("${run}", str(run_id))).fetchall() != []
