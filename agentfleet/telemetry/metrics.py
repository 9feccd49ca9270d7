"""Every metric, once. Names end in their base unit; no run, step or tenant is ever a label."""

import math
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    exposition,
    start_http_server,
)

disable_created_metrics()  # they would double the number of series, and nobody asks them

STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
WAIT_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800)
"""A backlog waits minutes, a step does not run so long. 5 and 60 are the bounds of two SLOs."""

RUNS = Counter("agentfleet_runs_total", "Runs that ended.", ["agent", "outcome"])
RUN_FAILURES = Counter(
    "agentfleet_run_failures_total",
    "Runs that failed, expired or need review, by what was to blame: model, tool, deadline or infra.",
    ["agent", "cause"],
)
RUNS_ACCEPTED = Counter("agentfleet_runs_accepted_total", "Runs answered with 202.", ["agent"])
STEPS = Counter(
    "agentfleet_steps_total",
    "Attempts that ended: ok, waited (no attempt is spent), or with a model_error, tool_error or infra_error.",
    ["pool", "kind", "outcome"],
)
STEP_RETRIES = Counter("agentfleet_step_retries_total", "Attempts that will be tried again, by verdict.", ["reason"])
UNCLASSIFIED = Counter(
    "agentfleet_unclassified_errors_total", "Errors that have no row in the verdict table.", ["error"]
)
LLM_REQUESTS = Counter("agentfleet_llm_requests_total", "Model calls.", ["provider", "model", "code"])
LLM_TOKENS = Counter("agentfleet_llm_tokens_total", "Tokens as billed.", ["provider", "model", "type"])
LLM_COST = Counter("agentfleet_llm_cost_usd_total", "What model calls cost, by the price table.", ["provider", "model"])
ADMISSIONS = Counter(
    "agentfleet_admissions_total", "Model calls that asked for room in their bucket.", ["bucket", "decision"]
)
PROMPT_CACHE = Counter(
    "agentfleet_prompt_cache_tokens_total",
    "Prompt tokens that the provider read from its cache, wrote to it, or should have found there and did not.",
    ["model", "result"],
)
RESPONSE_CACHE = Counter(
    "agentfleet_response_cache_total", "Looks for an answer or a tool's result of before.", ["kind", "result"]
)
WASTED_TOKENS = Counter(
    "agentfleet_wasted_tokens_total", "Tokens that brought nothing, where it is known at once; see `usage`.", ["cause"]
)
WASTED_COST = Counter("agentfleet_wasted_usd_total", "What those tokens cost, where that is known.", ["cause"])
TOOL_CALLS = Counter("agentfleet_tool_calls_total", "Tool calls.", ["tool", "decision"])
FENCE_REJECTIONS = Counter("agentfleet_fence_rejections_total", "Results dropped because the step was no longer ours.")
LEASES_LOST = Counter("agentfleet_leases_lost_total", "Steps given up because they were no longer ours.")
STALE_MESSAGES = Counter("agentfleet_stale_messages_total", "Messages whose claim matched nothing.")
REPUBLISHED = Counter("agentfleet_reconciler_republished_total", "Messages sent again.", ["reason"])
PROMOTED = Counter("agentfleet_reconciler_promoted_total", "Waiting steps that became due.")
RESCUED = Counter("agentfleet_reconciler_rescued_total", "Steps taken back from workers whose lease had ended.")
DEAD_LETTERS = Counter("agentfleet_dlq_total", "Steps given up on.", ["reason"])
PUBLISH_FAILURES = Counter(
    "agentfleet_publish_failures_total", "Messages that could not be sent; Postgres sends them again."
)
CONSUMER_STUCK = Counter("agentfleet_consumer_stuck_total", "Workers that ended because they heard no messages.")
WEBHOOK_DELIVERIES = Counter(
    "agentfleet_webhook_deliveries_total",
    "Posts of alerts: delivered, failed (tried again) or gave_up.",
    ["outcome"],
)
BUDGET_BLOCKS = Counter("agentfleet_budget_blocks_total", "Steps that had to wait for room in a budget.")
BUDGET_ALERTS = Counter("agentfleet_budget_alerts_total", "Ceilings of which four fifths were used.", ["scope"])
DISPATCHED = Counter("agentfleet_dispatched_total", "Steps sent to the broker.", ["path"])
DUTY_ROUNDS = Counter(
    "agentfleet_duty_rounds_total", "Rounds of the duties of dispatcher, reconciler and batches.", ["duty", "outcome"]
)
SCALE_DECISIONS = Counter("agentfleet_scale_decisions_total", "Times that a pool's size was computed.", ["pool"])
BATCH_ITEMS = Counter(
    "agentfleet_batch_items_total", "Model calls of the batch lane: sent, and what became of them.", ["outcome"]
)

PRUNED = Counter("agentfleet_pruned_total", "Rows that were kept for long enough, and deleted.", ["what"])
ARCHIVED_BYTES = Counter("agentfleet_archived_bytes_total", "What was archived, compressed.")
ARCHIVE_FAILURES = Counter("agentfleet_archive_failures_total", "Times that the archive failed; nothing was deleted.")

STEP_DURATION = Histogram(
    "agentfleet_step_duration_seconds", "From claimed to settled.", ["kind"], buckets=STEP_BUCKETS
)
QUEUE_WAIT = Histogram("agentfleet_queue_wait_seconds", "From ready to claimed.", ["pool"], buckets=WAIT_BUCKETS)
LLM_TTFT = Histogram("agentfleet_llm_ttft_seconds", "From request to first token.", ["model"], buckets=STEP_BUCKETS)
RUN_RECOVERY = Histogram(
    "agentfleet_run_recovery_seconds", "From the end of a dead worker's lease to its rescue.", buckets=WAIT_BUCKETS
)
HTTP_DURATION = Histogram(
    "agentfleet_http_request_duration_seconds",
    "Requests answered.",
    ["route", "method", "status"],
    buckets=STEP_BUCKETS,
)

STEPS_OPEN = Gauge("agentfleet_open_steps", "Open steps.", ["pool", "state"])
OLDEST_READY = Gauge("agentfleet_oldest_ready_seconds", "Age of the oldest step that waits to be dispatched.", ["pool"])
OUTBOX_LAG = Gauge("agentfleet_outbox_lag_seconds", "Age of the oldest message that nobody has claimed.", ["pool"])
ADMISSION_QUEUE = Gauge("agentfleet_admission_queue", "Steps that wait for room in a bucket.", ["pool", "bucket"])
BUCKET_LIMIT = Gauge(
    "agentfleet_bucket_limit_per_minute", "The provider's limits, as far as they are known.", ["bucket", "axis"]
)
ACCOUNT_PARKED = Gauge(
    "agentfleet_account_parked", "1 while an account of the provider refuses everything: its runs wait.", ["account"]
)
SLOTS = Gauge("agentfleet_slots", "Steps that this worker may have in flight.", ["pool"])
SLOTS_BUSY = Gauge("agentfleet_slots_busy", "Steps that this worker has in flight.", ["pool"])
PROVIDER_CONNECTIONS = Gauge(
    "agentfleet_provider_connections",
    "Connections of this worker to the provider: `busy` ones, and their `limit`.",
    ["state"],
)
CONSUMER_SILENCE = Gauge(
    "agentfleet_consumer_silence_ratio",
    "Share of AGENTFLEET_STUCK_AFTER in which this worker had room and took no message; at 1 it ends.",
)
LEASE_EXPIRED = Gauge("agentfleet_lease_expired", "Running steps whose lease has ended, at the last look.")
DEAD_LETTERS_OPEN = Gauge(
    "agentfleet_dead_letters_open", "Dead letters that nobody has decided about; of one tenant up to 1,000 count."
)
ALERTS_OPEN = Gauge(
    "agentfleet_alerts_open", "Alerts that nobody has resolved. Every reconciler tells the same.", ["kind"]
)
BATCHES_OPEN = Gauge("agentfleet_batches_open", "Batches of which results are still to come.")
BATCH_AGE = Gauge("agentfleet_batch_age_seconds", "Age of the oldest open batch; one ends within a day.")
REDIS_MEMORY = Gauge(
    "agentfleet_redis_memory_bytes",
    "Memory of Redis: `used`, and its `limit` (maxmemory, or where that is 0 the machine's memory).",
    ["state"],
)
REDIS_EVICTS = Gauge(
    "agentfleet_redis_evicts", "1 when a full Redis would drop keys of ours: maxmemory-policy is not noeviction."
)
POSTGRES_CONNECTIONS = Gauge(
    "agentfleet_postgres_connections",
    "Connections of everybody to Postgres: `used`, and the `limit` for those who are no superusers.",
    ["state"],
)
DESIRED_SLOTS = Gauge("agentfleet_desired_slots", "Steps in flight that a pool should have room for.", ["pool"])
DESIRED_WORKERS = Gauge("agentfleet_desired_workers", "Workers that a pool should have.", ["pool"])
PROVIDER_CAPACITY_SLOTS = Gauge(
    "agentfleet_provider_capacity_slots", "Steps in flight that the provider's limits allow a pool.", ["pool"]
)
SCALE_BOUND = Gauge(
    "agentfleet_scale_bound", "1 for what decides a pool's size now: work, provider, max or min.", ["pool", "by"]
)
SCALE_DECIDED = Gauge(
    "agentfleet_scale_decided_timestamp_seconds", "When a pool's size was decided last, in Unix time.", ["pool"]
)
LEADER = Gauge("agentfleet_leader", "1 while this process leads its duty.", ["duty"])
BUILD_INFO = Gauge("agentfleet_build_info", "Always 1; the labels say what runs.", ["version", "python"])


LED = (
    STEPS_OPEN, OLDEST_READY, OUTBOX_LAG, ADMISSION_QUEUE, BUCKET_LIMIT, ACCOUNT_PARKED, ALERTS_OPEN, REDIS_MEMORY,
    POSTGRES_CONNECTIONS, DESIRED_SLOTS, DESIRED_WORKERS, PROVIDER_CAPACITY_SLOTS, SCALE_BOUND, SCALE_DECIDED,
)  # fmt: skip
LED_WITHOUT_LABEL = (LEASE_EXPIRED, DEAD_LETTERS_OPEN, BATCHES_OPEN, BATCH_AGE, REDIS_EVICTS)
"""What only leaders tell, about the whole database."""


def forget_led() -> None:
    """This process leads no more: what it told last must not be told for ever."""
    for gauge in LED:
        gauge.clear()
    for gauge in LED_WITHOUT_LABEL:
        gauge.set(math.nan)


def serve(
    port: int,
    *,
    host: str = "0.0.0.0",  # noqa: S104  # Prometheus is elsewhere
    healthy: Callable[[], bool] = lambda: True,
    unready: Callable[[], str | None] = lambda: None,
) -> None:
    """Say what runs, and serve the metrics on ``host`` and ``port`` unless that is 0. Call once per process.

    Beside them are two probes, which another thread asks. ``/healthz``: 200 while the process is ``healthy``, otherwise
    503. ``/readyz``: 200 when work can be expected of it, otherwise 503 and why not, which is what ``unready`` says.
    """
    BUILD_INFO.labels(running_version(), platform.python_version()).set(1)
    forget_led()  # a gauge begins at 0, which would be told by those who know nothing
    if not port:
        return
    metrics = cast("Any", exposition).make_wsgi_app(REGISTRY)
    probes: dict[str, Callable[[], str | None]] = {
        "/healthz": lambda: None if healthy() else "stuck",
        "/readyz": lambda: unready() if healthy() else "stuck",
    }

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if (probe := probes.get(environ["PATH_INFO"])) is None:
            return metrics(environ, start_response)
        problem = probe()
        body = f"{problem or 'ok'}\n".encode()
        status = "200 OK" if problem is None else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]

    server, _ = start_http_server(port, host)
    server.set_app(answer)


def running_version() -> str:
    """The version of agentfleet, or ``checkout`` when it is imported from its directory, never installed."""
    try:
        return version("agentfleet")
    except PackageNotFoundError:
        return "checkout"
