"""The Collector's configuration keeps what we emit, by names that we emit."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentfleet.domain.states import RunState
from agentfleet.telemetry import attributes
from tests.tracing.names import EMITTED

CONFIG: dict[str, Any] = yaml.safe_load(Path("deploy/otel-collector.yaml").read_text())
SAMPLING = CONFIG["processors"]["tail_sampling"]
POLICIES = {policy["name"]: policy for policy in SAMPLING["policies"]}


def sampled_on(policy: dict[str, Any]) -> set[str]:
    """The attributes that a policy looks at."""
    rule = policy.get(policy["type"], {})
    conditions = " ".join(rule.get("span", ()))
    return set(re.findall(r'attributes\["([^"]+)"\]', conditions)) | ({rule["key"]} if "key" in rule else set())


def test_every_attribute_that_is_sampled_on_is_one_that_we_emit():
    looked_at = {name for policy in POLICIES.values() for name in sampled_on(policy)}
    assert looked_at >= {attributes.FENCED, attributes.ATTEMPT, attributes.COST_USD}
    assert {name for name in looked_at if name not in EMITTED} == set()


def test_errors_fenced_work_retries_and_what_is_dear_or_slow_are_kept_and_a_few_of_the_rest():
    types = {name: policy["type"] for name, policy in POLICIES.items()}
    assert types["errors"] == "status_code"
    assert POLICIES["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert sampled_on(POLICIES["fenced"]) == {attributes.FENCED}
    assert sampled_on(POLICIES["retries"]) == {attributes.ATTEMPT}
    assert POLICIES["retries"]["numeric_attribute"]["min_value"] == 2
    assert sampled_on(POLICIES["dear"]) == {attributes.COST_USD}
    assert types["slow"] == "latency"
    assert 1 <= POLICIES["the-rest"]["probabilistic"]["sampling_percentage"] <= 5
    assert set(POLICIES["ended-badly"]["string_attribute"]["values"]) <= {state.value for state in RunState}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_every_policy_has_the_rule_of_its_type_and_no_other(policy: dict[str, Any]):
    assert set(policy) == {"name", "type", policy["type"]}


def test_the_pipeline_limits_memory_first_and_batches_last_and_everything_in_it_is_configured():
    pipeline = CONFIG["service"]["pipelines"]["traces"]
    assert pipeline["processors"] == ["memory_limiter", "tail_sampling", "batch"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(CONFIG[kind])
    assert set(CONFIG["service"]["extensions"]) == set(CONFIG["extensions"])
    assert SAMPLING["decision_cache"]["sampled_cache_size"] >= 10 * SAMPLING["num_traces"]
