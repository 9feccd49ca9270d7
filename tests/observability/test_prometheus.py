"""A real Prometheus scrapes a running fleet with our rules, and tells when something is wrong."""

import os
import re
import signal
import subprocess

import httpx2

from tests.acceptance.stacks import Dev, until
from tests.observability.conftest import AGENT, Prometheus, Scrape, targets
from tests.observability.test_dashboards import declared
from tests.observability.test_rules import RULE_LIST
from tests.tooling import program

OURS = {"ingress", "steps", "dispatcher", "reconciler", "batches"}
NEVER = {"run", "run_id", "step", "step_id", "tenant", "tenant_id"}


def test_promtool_has_nothing_to_say_about_the_metrics_of_any_process(scrape: Scrape):
    assert scrape.texts.keys() == OURS | {"flower"}
    for kind in OURS:
        done = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=scrape.texts[kind].encode(),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), kind


def test_a_fleet_that_did_some_of_everything_shows_what_was_declared(scrape: Scrape):
    found = {name: labels for name, labels in scrape.series.items() if name.startswith("agentfleet_")}
    contract = declared()
    for name, labels in found.items():
        assert labels - {"le"} <= contract[name], name
        assert not labels & NEVER, name
    for name in (
        "agentfleet_runs_total",
        "agentfleet_run_failures_total",
        "agentfleet_dlq_total",
        "agentfleet_batch_items_total",
        "agentfleet_queue_wait_seconds_bucket",
        "agentfleet_postgres_connections",
        "agentfleet_redis_memory_bytes",
        "agentfleet_duty_rounds_total",
    ):
        assert found[name] >= contract[name], name


def test_only_leaders_tell_about_the_whole_database(scrape: Scrape):
    for kind in OURS - {"reconciler"}:
        assert "agentfleet_dead_letters_open NaN" in scrape.texts[kind]
    assert re.search(
        r'^agentfleet_postgres_connections\{state="used"\} [1-9]', scrape.texts["reconciler"], re.MULTILINE
    )


def test_every_process_is_a_target_and_every_rule_is_understood(stack: Dev, prometheus: Prometheus):
    places = {place for _, place in targets(stack)}

    def up() -> set[str]:
        active = prometheus.ask("targets")["activeTargets"]
        return {one["labels"]["instance"] for one in active if one["health"] == "up"}

    until(lambda: up() == places, "every target is up")
    rules = lambda: [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]  # noqa: E731
    until(lambda: all(rule["health"] != "unknown" for rule in rules()), "every rule was evaluated")
    assert [(rule["name"], rule.get("lastError")) for rule in rules() if rule["health"] != "ok"] == []
    assert len(rules()) == len(RULE_LIST)


def test_a_process_that_does_not_answer_is_told_of(stack: Dev, prometheus: Prometheus):
    pid = stack.env["pids"]["batches"][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        alert = until(lambda: prometheus.fires("AgentfleetTargetDown"), "the alert fires")
    finally:
        os.kill(pid, signal.SIGCONT)
    place = dict(targets(stack))["batches"]
    assert alert["labels"]["instance"] == place
    assert alert["annotations"]["summary"] == f"{place} (agentfleet) has not answered the scrape for 5 minutes."
    until(lambda: not prometheus.fires("AgentfleetTargetDown"), "it is over")


def test_a_parked_account_is_told_of_until_it_works_again(stack: Dev, prometheus: Prometheus):
    faults = f"{stack.env['simulator_url']}/sim/faults"
    httpx2.post(faults, json={"fault": "payment_required", "times": 1000}).raise_for_status()
    with stack.client() as client:
        run = client.submit(AGENT, "How long are you open?")
        alert = until(lambda: prometheus.fires("AgentfleetAccountParked"), "the alert fires")
        httpx2.delete(faults).raise_for_status()
        assert alert["labels"] | {"severity": "ticket", "account": "default"} == alert["labels"]
        assert "`agentfleet accounts resume default`" in alert["annotations"]["description"]
        assert client.wait(run.id).status == "succeeded", "the account is tried every second"
    until(lambda: not prometheus.fires("AgentfleetAccountParked"), "it is over")
