"""The metrics' names and labels are a contract with dashboards and alerts."""

import re

import httpx2
import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agentfleet.telemetry import metrics

CONTRACT: dict[str, tuple[str, ...]] = {
    "agentfleet_runs_total": ("agent", "outcome"),
    "agentfleet_steps_total": ("pool", "kind", "outcome"),
    "agentfleet_step_retries_total": ("reason",),
    "agentfleet_llm_requests_total": ("provider", "model", "code"),
    "agentfleet_llm_tokens_total": ("provider", "model", "type"),
    "agentfleet_llm_cost_usd_total": ("provider", "model"),
    "agentfleet_tool_calls_total": ("tool", "decision"),
    "agentfleet_fence_rejections_total": (),
    "agentfleet_reconciler_republished_total": ("reason",),
    "agentfleet_dlq_total": ("reason",),
    "agentfleet_webhook_deliveries_total": ("outcome",),
    "agentfleet_budget_blocks_total": (),
    "agentfleet_run_failures_total": ("agent", "cause"),
    "agentfleet_duty_rounds_total": ("duty", "outcome"),
    "agentfleet_scale_decisions_total": ("pool",),
    "agentfleet_step_duration_seconds": ("kind",),
    "agentfleet_queue_wait_seconds": ("pool",),
    "agentfleet_llm_ttft_seconds": ("model",),
    "agentfleet_http_request_duration_seconds": ("route", "method", "status"),
    "agentfleet_run_recovery_seconds": (),
    "agentfleet_open_steps": ("pool", "state"),  # beside agentfleet_steps_total no gauge may be called agentfleet_steps
    "agentfleet_oldest_ready_seconds": ("pool",),
    "agentfleet_slots": ("pool",),
    "agentfleet_slots_busy": ("pool",),
    "agentfleet_lease_expired": (),
    "agentfleet_dead_letters_open": (),
    "agentfleet_consumer_silence_ratio": (),
    "agentfleet_desired_slots": ("pool",),
    "agentfleet_desired_workers": ("pool",),
    "agentfleet_provider_capacity_slots": ("pool",),
    "agentfleet_scale_bound": ("pool", "by"),
    "agentfleet_postgres_connections": ("state",),
    "agentfleet_redis_memory_bytes": ("state",),
    "agentfleet_redis_evicts": (),
    "agentfleet_outbox_lag_seconds": ("pool",),
    "agentfleet_leader": ("duty",),
    "agentfleet_build_info": ("version", "python"),
}
NEVER_A_LABEL = {"run", "run_id", "step", "step_id", "tenant", "tenant_id", "attempt", "worker", "input", "message"}
BASE_UNITS = re.compile(r"_(milliseconds|ms|minutes|hours|kilobytes|megabytes|percent|cents)(_|$)")

Metric = Counter | Gauge | Histogram


def declared() -> dict[str, Metric]:
    """Every metric of ours, by the name that a scrape shows."""
    found = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    return {f"{one._name}_total" if isinstance(one, Counter) else one._name: one for one in found}


OURS = declared()
each = pytest.mark.parametrize(("name", "metric"), OURS.items(), ids=OURS.keys())


@pytest.mark.parametrize(("name", "labels"), CONTRACT.items(), ids=CONTRACT.keys())
def test_the_contract_is_kept(name: str, labels: tuple[str, ...]) -> None:
    assert OURS[name]._labelnames == labels


@each
def test_a_name_is_prefixed_snake_case_in_base_units(name: str, metric: Metric) -> None:
    assert re.fullmatch(r"agentfleet(_[a-z][a-z0-9]*)+", name)
    assert BASE_UNITS.search(name) is None
    assert metric._documentation


@each
def test_only_counters_end_in_total(name: str, metric: Metric) -> None:
    assert name.endswith("_total") == isinstance(metric, Counter)
    assert not name.endswith(("_count", "_sum", "_bucket"))


@each
def test_a_histogram_measures_seconds_in_rising_buckets(name: str, metric: Metric) -> None:
    if isinstance(metric, Histogram):
        assert name.endswith("_seconds")
        bounds = metric._upper_bounds
        assert list(bounds) == sorted(set(bounds))


@each
def test_no_label_grows_with_the_runs(name: str, metric: Metric) -> None:
    assert not NEVER_A_LABEL & set(metric._labelnames)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in metric._labelnames)


def test_a_scrape_can_be_parsed_and_shows_everything() -> None:
    shown = {family.name for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())}
    assert {name.removesuffix("_total") for name in OURS} <= shown


def test_health_is_told_beside_the_metrics(unused_tcp_port: int) -> None:
    well = [True]
    metrics.serve(unused_tcp_port, healthy=lambda: well[0])
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert httpx2.get(f"{url}/healthz").status_code == 200
    well[0] = False
    assert httpx2.get(f"{url}/healthz").status_code == 503
    assert "agentfleet_build_info" in httpx2.get(f"{url}/metrics").text


def test_buckets_fit_what_they_measure() -> None:
    assert metrics.STEP_DURATION._upper_bounds[-2] == 600, "the longest step"
    assert metrics.QUEUE_WAIT._upper_bounds[-2] >= 1800, "a backlog waits longer than a step runs"
