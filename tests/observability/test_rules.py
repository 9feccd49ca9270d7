"""The alert rules: each fires when it should and is silent when it should be, and tells a human what to do."""

import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.test_dashboards import GROUPS, OF_THE_SCRAPE, SELECTOR, declared
from tests.tooling import program

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "agentfleet" / "rules" / "agentfleet.rules.yaml"
CASES = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
ASKED = re.compile(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}')
LABEL = re.compile(r'(\w+)="[^"]*"')

RULE_LIST: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULE_LIST if "alert" in rule}
RECORDED = {rule["record"] for rule in RULE_LIST if "record" in rule}
each = pytest.mark.parametrize("name", ALERTS)


def promtool(*arguments: object) -> str:
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def outcomes() -> dict[str, dict[bool, list[set[str]]]]:
    """Alert → whether a case expects it to fire → the labels that it then has."""
    found: dict[str, dict[bool, list[set[str]]]] = defaultdict(lambda: defaultdict(list))
    for file in CASES:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["promql_expr_test"]:
                if asked := ASKED.fullmatch(case["expr"]):
                    samples = case.get("exp_samples", [])
                    labels = [set(LABEL.findall(sample["labels"])) for sample in samples]
                    found[asked[1]][bool(samples)] += labels or [set()]
    return found


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name.partition(".")[0])
def test_the_rules_do_what_their_cases_say(file):
    assert "SUCCESS" in promtool("test", "rules", file)


def test_prometheus_takes_the_rules():
    assert f"{len(RULE_LIST)} rules found" in promtool("check", "rules", RULES)


@each
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(name):
    assert set(outcomes()[name]) == {True, False}


def test_cases_name_alerts_that_exist():
    assert set(outcomes()) == set(ALERTS)


@each
def test_an_alert_says_what_is_wrong_what_to_do_and_where_to_read_on(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert all(text.strip() for text in said.values())
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    assert said["runbook_url"] == f"docs/operations/alerts/{kebab}.md"


@each
def test_an_alert_has_a_runbook(name):
    assert (ROOT / ALERTS[name]["annotations"]["runbook_url"]).is_file()


@each
def test_an_alert_tells_of_no_label_that_it_lacks(name):
    told = set(re.findall(r"\$labels\.(\w+)", " ".join(ALERTS[name]["annotations"].values())))
    for labels in outcomes()[name][True]:
        optional = {"pool"} if name == "AgentfleetAutoscalerBlind" else set[str]()  # said in a {{ with }}
        assert told - optional <= labels


@pytest.mark.parametrize("speed", ["Fast", "Slowly"])
def test_all_slos_burn_by_the_same_rule(speed):
    """So that the bounds need to be tried for one of them only."""
    shapes: set[tuple[str, str]] = set()
    for name, rule in ALERTS.items():
        if name.endswith(f"Burns{speed}"):
            budget = {"acceptance": "0.001", "runs": "0.001", "dispatch": "0.01", "recovery": "0.01"}
            slo = rule["labels"]["slo"]
            expression, _, guard = rule["expr"].replace(f'slo="{slo}"', "SLO").strip().rpartition(" > ")
            assert float(guard) <= 0.05
            shapes.add((re.sub(rf"\b{re.escape(budget[slo])}\b", "BUDGET", expression), rule["for"]))
    assert len(shapes) == 1


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_metrics_and_labels_that_exist(rule):
    series, expression = declared(), rule["expr"]
    assert set(re.findall(r"\bagentfleet_[a-z0-9_]+", expression)) <= set(series)
    assert set(re.findall(r"\bagentfleet:[a-z0-9_:]+", expression)) <= RECORDED
    known = {*OF_THE_SCRAPE, "slo"}
    for metric in re.findall(r"\bagentfleet_[a-z0-9_]+", expression):
        known |= series[metric]
    for metric, matchers in SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= series[metric] | OF_THE_SCRAPE, metric
    for group in GROUPS.findall(expression):
        assert {label.strip() for label in group.split(",")} <= known
