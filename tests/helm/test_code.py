"""What the manifests name is in the code: settings, modules, commands, ports, probes, routes, SQL."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import httpx2
import psycopg
import pytest
from flower.urls import handlers

from agentfleet import Agent
from agentfleet.api.app import create_app
from agentfleet.cli.main import main
from agentfleet.settings import Settings
from agentfleet.telemetry import metrics
from tests.helm.chart import CI, ROOT, Object, environment, named, objects, pods

PLACEHOLDERS = {
    "AGENTFLEET_DATABASE_URL": "postgresql://user:pass@db/agentfleet",
    "AGENTFLEET_DATABASE_DIRECT_URL": "postgresql://user:pass@db/agentfleet",
    "AGENTFLEET_REDIS_URL": "redis://cache:6379/0",
    "AGENTFLEET_ALERT_WEBHOOK_URL": "https://alerts.example/hook",
    "AGENTFLEET_ALERT_WEBHOOK_SECRET": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
}
"""What the Secrets would hold; any other holds this:"""
SECRET = "0123456789abcdef0123456789abcdef"
CLIENT = {
    option.envvar for command in main.commands.values() for option in command.params if isinstance(option, click.Option)
}
OURS = {f"AGENTFLEET_{name.upper()}" for name in Settings.model_fields} | CLIENT


def containers() -> Iterator[tuple[str, Object, Object, list[Object]]]:
    """Case and name, pod template and first container of every pod that runs our image."""
    for case in CI:
        found = objects(case)
        for name, template in pods(found):
            container = template["spec"]["containers"][0]
            if container.get("command", [""])[0] == "python":
                yield f"{case} {name}", template, container, found


def test_every_variable_is_a_setting_that_parses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "accounts.json").write_text("[]")
    for where, _, container, found in containers():
        given = environment(container, found)
        assert {name for name in given if name.startswith("AGENTFLEET_")} - OURS == set(), where
        with monkeypatch.context() as patch:
            for name, value in given.items():
                held = PLACEHOLDERS.get(name, SECRET) if value.startswith("$") else value
                patch.setenv(name, held.replace("/etc/agentfleet/accounts", str(tmp_path)))
            settings = Settings()
        assert (settings.redis_url is None) == ("AGENTFLEET_REDIS_URL" not in given), where


def test_settings_arrive_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    found = objects("ha")
    for name, value in named(found, "ConfigMap")["config"]["data"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.lease, settings.answer_cache_bytes, settings.public_docs, settings.provider_stagger) == (
        45,
        268435456,
        False,
        0,
    )
    assert (settings.keep_runs, settings.public_url) == (90 * 86_400, "https://agents.example")
    assert (settings.agents, settings.tracing) == (("myapp.agents", "myapp.more", "agentfleet_helm_test"), "otlp")


def test_attempts_name_the_image_that_ran() -> None:
    for name, one in named(objects("ha"), "Deployment").items():
        container = one["spec"]["template"]["spec"]["containers"][0]
        assert container["image"].endswith(f"@{environment(container, objects('ha'))['AGENTFLEET_RELEASE']}"), name


def test_workers_and_those_who_judge_them_have_the_same_leases() -> None:
    shared = {name: environment(one["spec"]["template"]["spec"]["containers"][0], objects("ha"))["AGENTFLEET_LEASE"]
              for name, one in named(objects("ha"), "Deployment").items()}  # fmt: skip
    assert set(shared.values()) == {"45"}


def test_every_command_is_a_module_and_every_option_one_of_its() -> None:
    for where, _, container, _ in containers():
        python, dash_m, module, *arguments = container["command"]
        assert (python, dash_m) == ("python", "-m"), where
        assert importlib.util.find_spec(module), where
        if module == "agentfleet.cli.main":
            command = main.commands[arguments[0]]
            command.make_context(arguments[0], arguments[1:])


def test_every_process_has_its_deployment() -> None:
    processes = {path.stem for path in (ROOT / "workers").glob("*.py") if "\nif __name__" in path.read_text()}
    commands = {container["command"][2] for where, _, container, _ in containers() if where.startswith("ha ")}
    assert {f"workers.{name}" for name in processes} == {name for name in commands if name.startswith("workers.")}


def probed(component: str) -> set[str]:
    return {
        probe["httpGet"]["path"]
        for where, template, container, _ in containers()
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == component
        for kind, probe in container.items()
        if kind.endswith("Probe")
    }


def test_the_ingress_has_the_routes_that_are_probed_scraped_and_asked() -> None:
    routes = {getattr(route, "path", "") for route in create_app(Settings()).routes}
    asked = {
        urlsplit(one["spec"]["triggers"][0]["metadata"]["url"]).path
        for one in named(objects("ha"), "ScaledObject").values()
    }
    scraped = {one["path"] for one in named(objects("ha"), "ServiceMonitor")["ingress"]["spec"]["endpoints"]}
    assert probed("ingress") == {"/healthz", "/readyz"}
    assert probed("ingress") | asked | scraped <= routes


@pytest.mark.parametrize("component", ["steps", "dispatcher", "reconciler", "batches"])
def test_the_metrics_port_serves_what_is_probed(component: str, unused_tcp_port: int) -> None:
    metrics.serve(unused_tcp_port)
    paths = probed(component)
    assert paths == {"/healthz", "/readyz"}
    assert [httpx2.get(f"http://127.0.0.1:{unused_tcp_port}{path}").text for path in paths] == ["ok\n", "ok\n"]


def test_flower_serves_what_is_probed() -> None:
    assert probed("flower") == {"/healthcheck", "/flower/healthcheck"}
    served = [handler[0] if isinstance(handler, tuple) else handler.regex.pattern for handler in handlers]
    assert any(re.fullmatch(pattern, "/healthcheck") for pattern in served[:-1])  # the last one says 404


def test_ports_are_those_on_which_the_processes_listen() -> None:
    for where, template, container, found in containers():
        ports = {port["name"]: str(port["containerPort"]) for port in container.get("ports", [])}
        given = environment(container, found)
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        expected = {
            "ingress": {"http": given.get("AGENTFLEET_PORT")},
            "flower": {"flower": given.get("FLOWER_PORT")},
            "simulator": {"server": container["command"][-1]},
            "migrate": {},
            "test": {},
        }
        assert ports == expected.get(component, {"metrics": given.get("AGENTFLEET_METRICS_PORT")}), where


def test_keda_asks_the_service_for_the_number_of_a_pool() -> None:
    found = objects("ha")
    service = named(found, "Service")["ingress"]
    token = next(
        one
        for one in named(found, "TriggerAuthentication").values()
        if one["spec"]["secretTargetRef"][0]["parameter"] == "token"
    )
    for name, one in named(found, "ScaledObject").items():
        trigger = one["spec"]["triggers"][0]
        url = urlsplit(trigger["metadata"]["url"])
        assert url.hostname == f"{service['metadata']['name']}.agents.svc"
        assert url.port == service["spec"]["ports"][0]["port"]
        assert name == f"steps-{parse_qs(url.query)['pool'][0]}"
        assert trigger["metadata"]["authMode"] == "bearer"
        assert trigger["authenticationRef"]["name"] == token["metadata"]["name"]
    ingress = named(found, "Deployment")["ingress"]["spec"]["template"]["spec"]["containers"][0]
    assert environment(ingress, found)["AGENTFLEET_INTERNAL_TOKEN"] == "$agentfleet-autoscale/token"


def test_the_sql_of_the_fallback_answers_a_login_that_sees_nothing_else(database_url: str) -> None:
    triggers = [
        one["spec"]["triggers"][1]["metadata"]["query"] for one in named(objects("ha"), "ScaledObject").values()
    ]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON test_clock TO agentfleet_scaler")  # the clock of tests is a table
        connection.execute("SET ROLE agentfleet_scaler")
        assert [connection.execute(query.encode()).fetchone() for query in triggers] == [(0,), (0,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM steps")


def test_the_agent_of_helm_test_is_one_of_an_existing_pool() -> None:
    source = named(objects("ha"), "ConfigMap")["helm-test"]["data"]["agentfleet_helm_test.py"]
    space: dict[str, object] = {}
    exec(source, space)  # noqa: S102  # rendered by our own chart
    (agent,) = [one for one in space.values() if isinstance(one, Agent)]
    command = dict(pods(objects("ha")))["Pod/rel-agentfleet-test"]["spec"]["containers"][0]["command"]
    assert (agent.name, agent.pool, list(agent.tools)) == (command[4], "bulk", [])
