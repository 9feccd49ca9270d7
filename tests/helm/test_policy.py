"""What must hold of everything that the chart runs, whatever the values."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from agentfleet.settings import Settings
from tests.helm.chart import CI, Object, named, objects, pods, text


def everything() -> Iterator[tuple[str, str, Object]]:
    """Case, name and template of every pod."""
    for case in CI:
        for name, template in pods(objects(case)):
            yield case, name, template


def test_pods_are_restricted() -> None:
    for case, name, template in everything():
        spec = template["spec"]
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"], (case, name)
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, (case, name)
        assert case == "openshift" or pod["runAsUser"] == (999 if re.search("-(postgres|redis)$", name) else 10001), (
            case,
            name,
        )
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), (case, name)
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, (case, name)
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], (case, name)  # noqa: S108  # theirs
        assert {"name": "tmp", "emptyDir": {}} in spec["volumes"], (case, name)
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], (case, name)


def test_openshift_chooses_users_itself() -> None:
    for name, template in pods(objects("openshift")):
        assert set(template["spec"]["securityContext"]) == {"runAsNonRoot", "seccompProfile"}, name


def test_no_pod_gets_a_token_of_the_cluster() -> None:
    for case, name, template in everything():
        assert template["spec"]["automountServiceAccountToken"] is False, (case, name)
    for case in CI:
        assert [one for one in objects(case) if one["kind"] in {"Role", "RoleBinding", "ClusterRole"}] == []


def test_every_container_asks_for_what_it_needs() -> None:
    for case, name, template in everything():
        for container in template["spec"]["containers"]:
            wanted = container["resources"]
            assert {"cpu", "memory"} <= set(wanted["requests"]), (case, name)
            assert "memory" in wanted["limits"], (case, name)


def test_what_serves_is_probed_and_what_ends_is_not() -> None:
    for case, name, template in everything():
        for container in template["spec"]["containers"]:
            probes = {probe for probe in container if probe.endswith("Probe")}
            serves = name.startswith("Deployment/")
            assert probes == ({"livenessProbe", "readinessProbe", "startupProbe"} if serves else set()), (case, name)


def test_secrets_are_only_referred_to() -> None:
    secret = [
        f"AGENTFLEET_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    ]
    secret += [
        "AGENTFLEET_DATABASE_URL",
        "AGENTFLEET_DATABASE_DIRECT_URL",
        "AGENTFLEET_REDIS_URL",
        "AGENTFLEET_API_KEY",
        "FLOWER_BASIC_AUTH",
    ]
    for case in CI:
        found = objects(case)
        assert case == "dev" or [one for one in found if one["kind"] == "Secret"] == []
        given = {key: value for one in found if one["kind"] == "ConfigMap" for key, value in one["data"].items()}
        assert set(given) & set(secret) == set(), case
        for name, template in pods(found):
            for variable in chain.from_iterable(one.get("env", []) for one in template["spec"]["containers"]):
                in_file = variable.get("value", "").startswith("@")  # AGENTFLEET_ACCOUNTS names a mounted Secret
                assert variable["name"] not in secret or in_file or "secretKeyRef" in variable["valueFrom"], (
                    case,
                    name,
                )


def test_a_network_policy_covers_every_pod() -> None:
    for case in CI:
        found = objects(case)
        policies = [one["spec"] for one in found if one["kind"] == "NetworkPolicy"]
        assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)
        for name, template in pods(found):
            labels = template["metadata"]["labels"]
            covering = [one for one in policies if one["podSelector"]["matchLabels"].items() <= labels.items()]
            assert len(covering) == 1, (case, name)


def test_no_policy_lets_anybody_out_on_every_port() -> None:
    for case in CI:
        for one in objects(case):
            if one["kind"] == "NetworkPolicy":
                assert all(rule.get("ports") for rule in one["spec"]["egress"]), (case, one["metadata"]["name"])
                assert all(rule.get("ports") for rule in one["spec"]["ingress"]), (case, one["metadata"]["name"])


def test_only_who_calls_the_provider_or_posts_alerts_reaches_the_internet() -> None:
    def open_to_internet(case: str, overrides: dict[str, Any] | None = None) -> set[str]:
        return {
            name
            for name, one in named(objects(case, overrides), "NetworkPolicy").items()
            if any(port["port"] == 443 for rule in one["spec"]["egress"] for port in rule["ports"])
        }

    assert open_to_internet("minimal") == {"steps-default", "batches"}
    archived = {"settings": {"AGENTFLEET_ARCHIVE": "s3://runs/old"}}
    assert open_to_internet("minimal", archived) == {"steps-default", "batches", "reconciler-default"}
    with_admin_key_and_alerts = {"dispatcher-bulk", "dispatcher-default", "reconciler-bulk", "reconciler-default"}
    assert open_to_internet("ha") == {"steps-bulk", "steps-default", "batches", *with_admin_key_and_alerts}
    policy = named(objects("ha"), "NetworkPolicy")["batches"]["spec"]
    closed = json.dumps(policy["egress"])
    assert all(
        block in closed for block in ("169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    )


def test_flower_is_reached_by_those_who_are_named_and_by_nobody_else() -> None:
    alone = named(objects("ha"), "NetworkPolicy")["flower"]["spec"]
    assert alone["ingress"] == []
    proxied = named(objects("flower"), "NetworkPolicy")["flower"]["spec"]
    assert proxied["ingress"] == [
        {
            "ports": [{"port": 5555, "protocol": "TCP"}],
            "from": [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}],
        }
    ]
    assert not [
        one for one in objects("ha") if one["kind"] in {"Service", "Ingress"} and "flower" in one["metadata"]["name"]
    ]


def test_a_disruption_budget_covers_every_deployment_of_more_than_one() -> None:
    for case in CI:
        found = objects(case)
        budgets = {name: one["spec"] for name, one in named(found, "PodDisruptionBudget").items()}
        least = {name: one["spec"]["minReplicas"] for name, one in named(found, "HorizontalPodAutoscaler").items()}
        least |= {name: one["spec"]["minReplicaCount"] for name, one in named(found, "ScaledObject").items()}
        for name, one in named(found, "Deployment").items():
            replicas = one["spec"].get("replicas", least.get(name, 1))
            assert (name in budgets) == (replicas > 1), (case, name, replicas)
            if name in budgets:
                assert budgets[name]["selector"] == one["spec"]["selector"], (case, name)
                assert budgets[name]["maxUnavailable"] not in {0, "0%", "100%"}, (case, name)


def test_grace_is_the_drain_and_thirty_seconds() -> None:
    for case in CI:
        found = objects(case)
        for name, one in named(found, "Deployment").items():
            spec = one["spec"]["template"]["spec"]
            container = spec["containers"][0]
            drain = {variable["name"]: variable.get("value") for variable in container.get("env", [])}.get(
                "AGENTFLEET_DRAIN"
            )
            before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            expected = 30 if drain is None else before + int(drain) + 30
            assert spec["terminationGracePeriodSeconds"] == expected, (case, name)
            assert (drain is None) != name.startswith(("ingress", "steps")), (case, name)


@pytest.mark.parametrize("seconds", [1, 600])
def test_drain_is_typed_once(seconds: int) -> None:
    found = objects("minimal", {"workers.drainSeconds": seconds})
    spec = named(found, "Deployment")["steps-default"]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == seconds + 30
    assert {"name": "AGENTFLEET_DRAIN", "value": str(seconds)} in spec["containers"][0]["env"]


def test_workers_get_a_plain_sigterm_as_the_first_process() -> None:
    for name, one in named(objects("ha"), "Deployment").items():
        container = one["spec"]["template"]["spec"]["containers"][0]
        assert container["command"][:2] == ["python", "-m"], name
        assert "sh" not in container["command"], name
        assert ("lifecycle" in container) == (name == "ingress"), name
    assert "REMAP_SIGTERM" not in text("ha")


def test_a_rollout_never_goes_below_what_was_there() -> None:
    for case in CI:
        for name, one in named(objects(case), "Deployment").items():
            strategy: dict[str, Any] = one["spec"]["strategy"]
            if strategy.get("type") != "Recreate":
                assert strategy["rollingUpdate"]["maxUnavailable"] == 0, (case, name)
                assert strategy["rollingUpdate"]["maxSurge"], (case, name)


def test_whoever_scales_owns_the_replicas() -> None:
    for case in CI:
        found = objects(case)
        scaled = {*named(found, "HorizontalPodAutoscaler"), *named(found, "ScaledObject")}
        for name, one in named(found, "Deployment").items():
            assert ("replicas" in one["spec"]) != (name in scaled), (case, name)
        assert not set(named(found, "HorizontalPodAutoscaler")) & set(named(found, "ScaledObject"))


def test_pods_spread_over_zones_and_nodes() -> None:
    for name, one in named(objects("minimal"), "Deployment").items():
        spec = one["spec"]["template"]["spec"]
        keys = [each["topologyKey"] for each in spec["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"], name
        assert {each["whenUnsatisfiable"] for each in spec["topologySpreadConstraints"]} == {"ScheduleAnyway"}, name
        assert ("affinity" in spec) == (name == "ingress"), name


def test_a_changed_setting_restarts_the_pods() -> None:
    before, after = (
        named(objects("minimal", {"settings": {"AGENTFLEET_LEASE": lease}}), "Deployment")["steps-default"]["spec"][
            "template"
        ]["metadata"]
        for lease in (30, 60)
    )
    assert before["annotations"]["checksum/config"] != after["annotations"]["checksum/config"]


def test_labels_that_are_yours_are_everywhere_but_in_selectors() -> None:
    found = [one for one in objects("ha") if one["kind"] != "ServiceAccount"]
    assert [one["metadata"]["name"] for one in found if one["metadata"]["labels"].get("team") != "agents"] == []
    assert [name for name, template in pods(found) if template["metadata"]["labels"].get("team") != "agents"] == []
    assert "team" not in json.dumps([one["spec"]["selector"] for one in found if one["kind"] == "Deployment"])
