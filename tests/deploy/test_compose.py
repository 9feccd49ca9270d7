"""compose.yaml, without an engine: it is one, and what it says about our processes is true."""

import json
import re
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from agentfleet.settings import Settings
from tests.acceptance.fleet import Process
from tests.deploy.kinds import KINDS, settings_of
from tests.tooling import program

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "agentfleet"}
GRACE = 10
"""Seconds that a process may take beyond its drain."""


def environment(name: str) -> dict[str, str]:
    """Of a service, when nothing is set outside."""
    given = SERVICES[name].get("environment", {})
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in given.items()}


def test_it_is_a_compose_file() -> None:
    (schema,) = Path(check_jsonschema.__file__).parent.rglob("compose-spec.json")
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(FILE)


def test_every_kind_of_process_runs() -> None:
    commands = {service["command"][0] for service in OURS.values()}
    assert commands >= KINDS
    assert all(util.find_spec(module) for module in commands)


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_and_holds(name: str, monkeypatch) -> None:
    given = environment(name)
    settings = settings_of(given, monkeypatch)
    patience = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert patience >= settings.drain + GRACE


def test_nothing_is_open_to_others_and_nobody_writes_or_gains_rights() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert not any("ports" in SERVICES[name] for name in ("postgres", "redis", "pgbouncer")), (
        "their passwords are known"
    )
    for service in OURS.values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_what_is_mounted_is_there_and_prometheus_takes_it(tmp_path: Path) -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert all((ROOT / path).exists() for path in mounted if path.startswith("."))
    config = tmp_path / "prometheus.yml"
    rules = ROOT / "helm/agentfleet/rules/agentfleet.rules.yaml"
    text = (ROOT / "deploy/prometheus.yml").read_text()
    config.write_text(text.replace("/etc/prometheus/agentfleet.rules.yaml", str(rules)))
    said = subprocess.run([program("promtool"), "check", "config", config], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    names = {
        name for job in yaml.safe_load(text)["scrape_configs"] for sd in job["dns_sd_configs"] for name in sd["names"]
    }
    assert names == {name for name, service in OURS.items() if "healthcheck" in service}


def ends(code: str) -> int:
    """With what code a health check's Python ends."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode


async def test_the_health_checks_ask_what_is_served(database_url, redis_url, tmp_path) -> None:
    """The ingress is up and its metrics are not on 9100; a step worker's check finds nobody there."""
    own = {
        **environment("ingress"),
        "AGENTFLEET_DATABASE_URL": database_url,
        "AGENTFLEET_DATABASE_DIRECT_URL": database_url,
        "AGENTFLEET_REDIS_URL": redis_url,
        "AGENTFLEET_HOST": "127.0.0.1",
        "AGENTFLEET_PORT": "0",
    }
    process = Process(["workers.ingress"], own, tmp_path / "ingress")
    try:
        announced = (await process.ready()).announced
        assert announced
        for name, place in (("ingress", "http://127.0.0.1:8080"), ("steps", "http://127.0.0.1:9100")):
            [how, python, option, code] = SERVICES[name]["healthcheck"]["test"]
            assert (how, python, option) == ("CMD", "python", "-c")
            assert place in code
            assert ends(code.replace(place, announced["url"])) == 0
        assert ends(code.replace(":9100", ":1")) == 1
    finally:
        process.kill()


def test_the_drain_is_what_the_grace_was_computed_from() -> None:
    assert f"{Settings.model_fields['drain'].default:g} s" in (ROOT / "compose.yaml").read_text()
