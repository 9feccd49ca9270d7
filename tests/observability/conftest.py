"""One dev stack that has done some of everything, what its processes tell, and a Prometheus that scrapes them."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agentfleet.dev.child import free_port
from tests.acceptance.stacks import Dev, dev, until
from tests.observability.test_rules import RULES
from tests.tooling import program

AGENT = "clerk"
QUICK = {"reconcile_poll": 0.1, "batch_every": 0.2, "provider_probe": 1, "log_level": "warning"}


@dataclass(frozen=True)
class Scrape:
    """What the processes of a fleet served, by kind."""

    texts: dict[str, str]

    @cached_property
    def series(self) -> dict[str, set[str]]:
        """Name of a sample, such as ``agentfleet_queue_wait_seconds_bucket``, and the labels that it has anywhere."""
        found: dict[str, set[str]] = defaultdict(set)
        for text in self.texts.values():
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found[sample.name] |= set(sample.labels)
        return dict(found)


class Prometheus:
    """A running one."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its API."""
        answer = httpx2.get(f"{self._url}/api/v1/{path}", params=query)
        answer.raise_for_status()
        return answer.json()["data"]

    def fires(self, alert: str) -> dict[str, Any] | None:
        """The alert with this name, while one fires."""
        found = self.ask("alerts")["alerts"]
        return next((one for one in found if one["labels"]["alertname"] == alert and one["state"] == "firing"), None)


def targets(stack: Dev) -> list[tuple[str, str]]:
    """Kind and place of each process, as the stack tells Prometheus."""
    groups = json.loads((stack.directory / ".agentfleet" / "prometheus.json").read_text())
    return [(group["labels"]["process"], place) for group in groups for place in group["targets"]]


def read(stack: Dev) -> Scrape:
    return Scrape({kind: httpx2.get(f"http://{place}/metrics").text for kind, place in targets(stack)})


@pytest.fixture(scope="session")
def stack() -> Iterator[Dev]:
    """Runs that succeeded, one of them by a batch, one that failed, and one with a dead letter."""
    with dev("tests.observability.agents", "--workers", "1", **QUICK) as running:
        simulator = running.env["simulator_url"]
        httpx2.patch(f"{simulator}/sim/config", json={"batches": {"seconds": 0.5}}).raise_for_status()
        for fault, word in (("invalid_request", "malformed"), ("refusal", "forbidden"), ("rate_limited_ms", "often")):
            order = {"fault": fault, "times": 1, "match": {"contains": word}}
            httpx2.post(f"{simulator}/sim/faults", json=order).raise_for_status()
        with running.client() as client:
            runs = [client.submit(AGENT, f"How {word} are you open?") for word in ("often", "malformed", "forbidden")]
            runs.append(client.submit(AGENT, "How late are you open?", deadline="7h", lane="batch"))
            ends = [client.wait(run.id).status for run in runs]
        assert ends == ["succeeded", "needs_review", "failed", "succeeded"]
        until(lambda: "agentfleet_dead_letters_open 1" in read(running).texts["reconciler"], "letters are counted")
        yield running


@pytest.fixture(scope="session")
def scrape(stack: Dev) -> Scrape:
    return read(stack)


@pytest.fixture(scope="session")
def prometheus(stack: Dev, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrapes the stack every second, with our rules; nothing but their `for` and `interval` is shorter."""
    directory: Path = tmp_path_factory.mktemp("prometheus")
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for group in groups:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.update({"for": "0s"} if "alert" in rule else {})
    (directory / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    found = {"files": [str(stack.directory / ".agentfleet" / "prometheus.json")]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "agentfleet", "file_sd_configs": [found]}],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    place = f"127.0.0.1:{free_port()}"
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [program("prometheus"), *options, f"--web.listen-address={place}"], cwd=directory, stdout=log, stderr=log
        )
    try:
        made = Prometheus(f"http://{place}")
        until(lambda: process.poll() is not None or ready(place), "Prometheus is ready")
        assert process.poll() is None, (directory / "log").read_text()
        yield made
    finally:
        process.kill()
        process.wait()


def ready(place: str) -> bool:
    try:
        return httpx2.get(f"http://{place}/-/ready").is_success
    except httpx2.TransportError:
        return False
