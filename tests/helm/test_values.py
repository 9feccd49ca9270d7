"""Bad values are refused with a message that says what to do; good ones survive, zeros among them."""

import json
from functools import reduce
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.helm.chart import CHART, Refused, named, objects, text, thorough

WRONG = [
    ({"imagee": {}}, "imagee"),
    ({"image.digest": "sha256:short"}, "digest"),
    ({"image.pullPolicy": "Sometimes"}, "pullPolicy"),
    ({"agents": "myapp.agents"}, "agents"),
    ({"agents": ["my app"]}, "agents"),
    ({"settings": {"AGENTFLEET_LEESE": 3}}, "AGENTFLEET_LEESE"),
    ({"settings": {"AGENTFLEET_LEASE": "long"}}, "AGENTFLEET_LEASE"),
    ({"settings": {"AGENTFLEET_LEASE": 0}}, "AGENTFLEET_LEASE"),
    ({"settings": {"AGENTFLEET_KEEP_RUNS": True}}, "AGENTFLEET_KEEP_RUNS"),
    ({"settings": {"AGENTFLEET_DRAIN": 3}}, "AGENTFLEET_DRAIN"),
    ({"settings": {"AGENTFLEET_FAILPOINT": "x"}}, "AGENTFLEET_FAILPOINT"),
    ({"settings": {"AGENTFLEET_FLOWER_OPEN": True}}, "AGENTFLEET_FLOWER_OPEN"),
    ({"settings": {"AGENTFLEET_PROVIDER_API_KEY": "sk"}}, "AGENTFLEET_PROVIDER_API_KEY"),
    ({"settings": {"AGENTFLEET_LOG_LEVEL": "loud"}}, "AGENTFLEET_LOG_LEVEL"),
    ({"database.existingSecret": 3}, "existingSecret"),
    ({"redis.prefix": "Not-Lower"}, "prefix"),
    ({"ingress.replicas": -1}, "replicas"),
    ({"ingress.replicas": "two"}, "replicas"),
    ({"ingress.replica": 2}, "replica"),
    ({"ingress.autoscaling": {"targetCPU": 170}}, "targetCPU"),
    ({"ingress.service.port": 0}, "port"),
    ({"ingress.expose.hosts": ["https://example"]}, "hosts"),
    ({"ingress.resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "fast", "memory": "1Gi"}}}, "cpu"),
    ({"ingress.podDisruptionBudget": {"enabled": True, "maxUnavailable": 0}}, "maxUnavailable"),
    ({"workers.drainSeconds": 0}, "drainSeconds"),
    ({"workers.drainSeconds": 1.5}, "drainSeconds"),
    ({"workers.capacity": 0}, "capacity"),
    ({"workers.pools": {"a_b": {}}}, "a_b"),
    ({"workers.pools": {"default": {"replicas": True}}}, "replicas"),
    ({"workers.pools": {"default": {"drainSeconds": 3}}}, "drainSeconds"),
    ({"workers.pod": {"labels": {"a": 1}}}, "labels"),
    ({"workers.pod": {"extraEnv": [{"value": "x"}]}}, "extraEnv"),
    ({"autoscaling.keda.scaleDown.percent": 0}, "percent"),
    ({"migrations.useHelmHooks": "yes"}, "useHelmHooks"),
    ({"networkPolicy.redis.ports": []}, "ports"),
    ({"networkPolicy.https.except": ["10.0.0.0"]}, "except"),
    ({"monitoring.enabled": "yes"}, "monitoring"),
    ({"monitoring.interval": "15"}, "interval"),
    ({"flower.urlPrefix": "a b"}, "urlPrefix"),
    ({"dev": {"enable": True}}, "enable"),
]

GUARDS = [
    ({"database.existingSecret": ""}, "database.existingSecret is required"),
    ({"redis.existingSecret": ""}, "redis.existingSecret is required"),
    ({"provider.existingSecret": ""}, "provider.existingSecret is required"),
    (
        {"provider.existingSecret": "", "provider.adminKey": "k", "provider.accounts.existingSecret": "a"},
        "provider.adminKey is a key of",
    ),
    (
        {"redis.existingSecret": "", "redis.sentinelPasswordKey": "k", "dev.enabled": True},
        "redis.sentinelPasswordKey is a key of redis.existingSecret",
    ),
    ({"database.url": "postgresql://a:b@c/d"}, "database.url is a secret: put it into a Secret"),
    ({"redis.url": "redis://:pass@c"}, "redis.url is a secret"),
    ({"provider.apiKey": "sk"}, "provider.apiKey is a secret"),
    ({"podDefaults.extraEnv": [{"name": "EAST_API_KEY", "value": "sk"}]}, "extraEnv EAST_API_KEY looks like a secret"),
    (
        {"workers.pools": {"b": {"pod": {"extraEnv": [{"name": "PGPASSWORD", "value": "x"}]}}}},
        "extraEnv PGPASSWORD looks like a secret",
    ),
    ({"flower.enabled": True}, "flower.existingSecret is required with flower.enabled"),
    ({"autoscaling.keda.enabled": True}, "autoscaling.keda.token.existingSecret is required with KEDA"),
    (
        {
            "autoscaling.keda": {"enabled": True, "token": {"existingSecret": "t"}},
            "workers.hpa": {"enabled": True, "metrics": [{"type": "Pods"}]},
        },
        "workers.pools.default: KEDA (autoscaling.keda.enabled) and hpa.enabled would fight",
    ),
    ({"workers.hpa.enabled": True}, "workers.pools.default: hpa.metrics is empty"),
    (
        {"workers.hpa": {"enabled": True, "metrics": [{"type": "Pods"}]}, "workers.autoscaling.minReplicas": 0},
        "which a HorizontalPodAutoscaler cannot do",
    ),
    ({"workers.autoscaling.minReplicas": 60}, "autoscaling.minReplicas (60) exceeds maxReplicas (50)"),
    ({"ingress.autoscaling.minReplicas": 60}, "ingress.autoscaling.minReplicas (60) exceeds maxReplicas (10)"),
    ({"workers.pools.default": None}, "workers.pools is empty"),
    ({"test.enabled": True}, "test.apiKey.existingSecret is required with test.enabled"),
    (
        {"test": {"enabled": True, "pool": "b", "apiKey": {"existingSecret": "t"}}},
        'test.pool is "b", which workers.pools does not have',
    ),
    ({"tracing.enabled": True}, "tracing.endpoint is required with tracing.enabled"),
    ({"ingress.expose.enabled": True}, "ingress.expose.hosts is required"),
    ({"serviceAccount.name": "default"}, 'serviceAccount.name is "default", which every namespace has'),
]


@pytest.mark.parametrize(
    ("overrides", "named_in_message"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_schema_refuses_a_wrong_value_by_name(overrides: dict[str, Any], named_in_message: str) -> None:
    values: dict[str, Any] = {}
    for path, value in overrides.items():
        *parents, last = path.split(".")
        reduce(lambda inner, key: inner.setdefault(key, {}), parents, values)[last] = value
    schema = json.loads((CHART / "values.schema.json").read_text())
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(values)]
    assert named_in_message in "\n".join(problems)


@thorough
@pytest.mark.parametrize(
    ("overrides", "named_in_message"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_helm_refuses_a_wrong_value_by_name(overrides: dict[str, Any], named_in_message: str) -> None:
    with pytest.raises(Refused) as refusal:
        text("minimal", json.dumps(overrides))
    assert "values don't meet the specifications of the schema" in str(refusal.value)
    assert named_in_message in str(refusal.value)


@pytest.mark.parametrize(("overrides", "message"), GUARDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_combination_that_cannot_work_is_refused_with_the_way_out(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        text("minimal", json.dumps(overrides))
    assert message in str(refusal.value)


def test_helm_3_refuses_alike() -> None:
    for (overrides, message), kind in ((WRONG[0], "schema"), (WRONG[5], "schema"), (GUARDS[-1], "serviceAccount")):
        with pytest.raises(Refused) as refusal:
            text("minimal", json.dumps(overrides), using="helm3")
        assert message in str(refusal.value)
        assert kind in str(refusal.value)


def test_objects_of_the_schema_are_closed() -> None:
    """A typo is an error everywhere, but where Kubernetes itself checks, and in what a parent chart shares."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["$schema"].endswith("2020-12/schema")
    free = [
        path for path, one in walked(schema) if "object" in one.get("type", []) and "additionalProperties" not in one
    ]
    described = [one.get("description", "") for path, one in walked(schema) if path in free]
    assert {text for text in described if "Kubernetes' own API" not in text and "globals" not in text} == set()


def walked(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        return [found for index, one in enumerate(schema) for found in walked(one, f"{path}[{index}]")]
    if not isinstance(schema, dict):
        return []
    here = [(path, schema)] if "type" in schema and isinstance(schema["type"], str | list) else []
    return here + [found for key, one in schema.items() for found in walked(one, f"{path}.{key}")]


def test_every_default_is_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}


def test_zeros_survive() -> None:
    """`0 | default 1` and `merge` take a zero for nothing."""
    found = objects(
        "minimal",
        {
            "workers.pools": {"default": {"replicas": 0}},
            "dispatcher.replicas": 0,
            "ingress": {"autoscaling": {"enabled": False}, "replicas": 0},
            "migrations": {"backoffLimit": 0, "ttlSecondsAfterFinished": 0},
            "revisionHistoryLimit": 0,
            "settings": {"AGENTFLEET_PROVIDER_STAGGER": 0, "AGENTFLEET_PUBLIC_DOCS": False},
            "podDefaults.topologySpreadConstraints": [],
        },
    )
    deployments = named(found, "Deployment")
    assert [deployments[name]["spec"]["replicas"] for name in ("steps-default", "dispatcher-default", "ingress")] == [
        0,
        0,
        0,
    ]
    assert {one["spec"]["revisionHistoryLimit"] for one in deployments.values()} == {0}
    assert "topologySpreadConstraints" not in deployments["ingress"]["spec"]["template"]["spec"]
    job = named(found, "Job")["migrate"]["spec"]
    assert (job["backoffLimit"], job["ttlSecondsAfterFinished"]) == (0, 0)
    config = named(found, "ConfigMap")["config"]["data"]
    assert (config["AGENTFLEET_PROVIDER_STAGGER"], config["AGENTFLEET_PUBLIC_DOCS"]) == ("0", "false")
    scaled = named(objects("ha"), "ScaledObject")["steps-bulk"]["spec"]
    assert (scaled["minReplicaCount"], scaled["fallback"]["replicas"]) == (0, 0)


def test_large_numbers_stay_numbers() -> None:
    assert named(objects("ha"), "ConfigMap")["config"]["data"]["AGENTFLEET_ANSWER_CACHE_BYTES"] == "268435456"


def test_a_pool_overrides_entry_by_entry() -> None:
    bulk, default = (
        named(objects("ha"), "Deployment")[f"steps-{pool}"]["spec"]["template"]["spec"] for pool in ("bulk", "default")
    )
    assert (bulk["priorityClassName"], default["priorityClassName"]) == ("low", "high")
    assert (bulk["nodeSelector"], default.get("nodeSelector")) == ({"capacity": "spot"}, None)
    assert bulk["tolerations"] == default["tolerations"]
