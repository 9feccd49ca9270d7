"""Every setting, its meaning, its default and its reason. The only reader of the environment.

Values come from the environment (prefix ``AGENTFLEET_``). Cross-checks fail at start and name both values.
"""

import os
from typing import Literal, Self

from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from agentfleet.settings.provider import ProviderSettings
from agentfleet.settings.retention import RetentionSettings
from agentfleet.settings.scaling import ScaleSettings
from agentfleet.settings.types import Names, Seconds, WebhookKey, WebhookUrl


class Settings(ProviderSettings, ScaleSettings, RetentionSettings):
    """The configuration of every process. Durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="AGENTFLEET_", frozen=True, extra="ignore", populate_by_name=True)

    # Where the servers are
    database_url: str | None = Field(
        default=None,
        description="Postgres 15 or newer, as postgresql://user:password@host/db. Unset: `dev` and `demo` embed one.",
    )
    redis_url: str | None = Field(
        default=None,
        description="Redis or Valkey 7 or newer, as redis://host:port/db; rediss:// with TLS; sentinel://host:port,host:port/master/db or sentinels://. Unset: `dev` and `demo` embed one.",
    )
    database_direct_url: str | None = Field(
        default=None,
        description="The same database without a pooler: leaders' locks and migrations need it where AGENTFLEET_DATABASE_URL leads to PgBouncer in transaction mode. Unset: that URL.",
    )
    pooler_prepares: bool = Field(
        default=False,
        description="The pooler before Postgres keeps prepared statements: PgBouncer 1.22 or newer with max_prepared_statements of 200 or more.",
    )
    redis_ca_file: FilePath | None = Field(
        default=None,
        description="The CA that signed Redis' certificate, as a PEM file, for rediss:// and sentinels://. Unset: the system's.",
    )
    redis_cert_file: FilePath | None = Field(
        default=None, description="Our own certificate, if Redis wants one, as a PEM file."
    )
    redis_key_file: FilePath | None = Field(default=None, description="The key of that certificate, as a PEM file.")
    redis_verify: Literal["full", "ca", "none"] = Field(
        default="full",
        description="What is checked of Redis' certificate: that a known CA signed it for this host, only who signed it, or nothing.",
    )
    sentinel_password: SecretStr | None = Field(
        default=None,
        description="The password of the Sentinels, if they want one; Redis' own is in AGENTFLEET_REDIS_URL.",
    )
    set_role: bool = Field(
        default=True,
        description="After connecting, SET ROLE agentfleet_app (ingress) or agentfleet_fleet (the rest). Off: the user is one.",
    )

    # What runs
    agents: Names = Field(
        default=(), description="Modules that define agents, comma-separated, e.g. myapp.agents,myapp.more."
    )
    release: str | None = Field(
        default=None,
        max_length=100,
        description="What runs here, e.g. a git tag or an image's digest: noted in every attempt. Unset: agentfleet's version.",
    )
    pool: str = Field(
        default="default",
        pattern=r"^[a-z][a-z0-9_-]{0,39}$",
        description="The pool that this worker or dispatcher serves.",
    )

    # Leases
    lease: Seconds = Field(
        default=30.0,
        description="After this long without renewal a worker begins nothing more, and its steps may be taken over.",
    )
    heartbeat: Seconds = Field(
        default=10.0, description="How often a worker renews the leases of all its steps, with one statement."
    )
    drain: Seconds = Field(
        default=25.0,
        description="After SIGTERM: finish what ends within this time, hand back the rest. Below the usual 30 s of a supervisor's patience.",
    )
    worker_capacity: int = Field(
        default=2_000,
        ge=1,
        le=20_000,
        description="Steps in flight per worker process. They wait on the network, so this is not a CPU count.",
    )
    warm_up: float = Field(
        default=10.0,
        ge=0,
        description="A new worker takes a 32nd of its capacity (but 16 steps) at first, twice as many after every fifth of this time, then all. 0: all at once.",
    )
    tool_threads: int = Field(
        default=16, ge=1, le=500, description="Threads for tools that are not async, per worker process."
    )

    # The dispatcher and the reconciler
    dispatch_window: int = Field(
        default=1_000,
        ge=1,
        description="Most messages sent and not yet claimed, per pool: bounds Redis, whatever the backlog.",
    )
    dispatch_poll: Seconds = Field(
        default=1.0, description="Backstop: how often the dispatcher looks when nobody wakes it."
    )
    reconcile_poll: Seconds = Field(
        default=1.0,
        description="How often due steps are promoted, dead workers' steps rescued, lost messages sent again.",
    )
    republish_after: Seconds = Field(
        default=5.0,
        description="A message unclaimed for this long counts as lost: when the queue is empty, or after 3 times the recent p99, too.",
    )

    # Alerts
    alert_webhook_url: WebhookUrl = Field(
        default=None,
        description="Where alerts are posted, as https://…; see docs/guides/alerts.md. Unset: they are only logged, listed and counted.",
    )
    alert_webhook_secret: WebhookKey = Field(
        default=None,
        description="Signs what is posted (Standard Webhooks): whsec_ and 24 to 64 bytes as base64. Unset: nothing is signed.",
    )

    # The batch lane
    batch_min_deadline: Seconds = Field(
        default=21_600.0, description="Runs with this deadline or a longer one go through batches, at half the price."
    )
    batch_spill_margin: Seconds | None = Field(
        default=None, description="Kept of a deadline for direct calls. Unset: a quarter, but at least half an hour."
    )
    batch_every: Seconds = Field(
        default=60.0, le=600, description="How often batches are made, and looked at while young."
    )
    batch_max_requests: int = Field(default=1_000, ge=1, le=100_000, description="Most model calls in one batch.")
    batch_recover_after: Seconds = Field(
        default=300.0, description="A batch that may or may not have been accepted is looked for after this time."
    )

    # Retries
    max_attempts: int = Field(
        default=5, ge=1, description="Attempts of a step before it is buried. Waiting for the provider costs none."
    )
    retry_base: Seconds = Field(
        default=2.0, description="Bound of the first retry's delay; doubles with every failure, drawn with full jitter."
    )
    retry_cap: Seconds = Field(default=600.0, description="Longest delay between attempts.")

    dead_letter_retention: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="Days after which dead letters that were dealt with, and unreadable messages, are deleted. Open ones are kept.",
    )

    # Celery and Redis
    transport: Literal["doorbell", "redis"] = Field(
        default="doorbell",
        description="`doorbell`: batched pops, no unacked bookkeeping (Postgres re-publishes). `redis`: kombu's stock transport.",
    )
    redis_prefix: str = Field(
        default="agentfleet",
        pattern=r"^[a-z][a-z0-9_-]{0,39}$",
        description="First part of every key and queue name of ours.",
    )
    stuck_after: Seconds = Field(
        default=60.0,
        description="A worker that has room and takes nothing for this long, though Redis answers, ends with code 1.",
    )
    task_events: Literal["all", "sampled", "off"] = Field(
        default="all",
        description="Celery task events for Flower, sent only while it listens. `sampled` sends those of 1 step in 20.",
    )

    flower_open: bool = Field(
        default=False,
        description="Let Flower start without credentials, on a loopback address only. Whoever reaches it may look; its buttons and its API stay locked.",
    )

    # The ingress
    host: str = Field(default="127.0.0.1", description="Where the ingress listens.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the ingress; 0 takes a free one.")
    public_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://[^\s/]+(/[^\s?#]*)?$",
        description="Where people's browsers reach the ingress: Flower links its tasks to the run pages there, `<this>/runs/<id>`.",
    )
    public_docs: bool = Field(default=True, description="Serve /docs and /openapi.json.")
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, description="Larger request bodies get a 413.")
    max_wait: float = Field(default=60.0, ge=0, description="Longest `Prefer: wait=` that is honoured.")

    # Tests
    failpoint: str | None = Field(
        default=None,
        description="Never in production: make this process break at a named operation, e.g. `settle_steps.after:kill`. See CONTRIBUTING.",
    )

    # Telemetry
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or readable text."
    )
    tracing: Literal["off", "otlp"] = Field(
        default="off",
        description="`otlp`: ingress and step workers send spans over OTLP/HTTP, as the standard OTEL_* variables say; needs `pip install 'agentfleet[tracing]'`. See docs/guides/tracing.md.",
    )
    tracing_content: bool = Field(
        default=False,
        description="Spans tell what models, tools and users say, too, with secrets hidden and long texts cut.",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Prometheus port of workers and dispatchers; 0 serves none. The ingress serves /metrics itself.",
    )
    metrics_host: str = Field(default="0.0.0.0", description="Where that port is opened.")  # noqa: S104

    # Database connections
    pool_size: int = Field(
        default=4,
        ge=1,
        le=100,
        description="Hot-path connections per process. Concurrent steps share commits, so few are enough.",
    )
    statement_timeout: Seconds = Field(
        default=15.0, description="A hot statement that takes longer is cut off and tried again."
    )

    @model_validator(mode="after")
    def _cross_checks(self) -> Self:
        if self.database_direct_url is not None and self.database_url is None:
            raise ValueError(
                "AGENTFLEET_DATABASE_DIRECT_URL is set and AGENTFLEET_DATABASE_URL is not: set both, or none"
            )
        if self.heartbeat * 2 > self.lease:
            raise ValueError(
                f"AGENTFLEET_LEASE ({self.lease:g} s) must be at least twice AGENTFLEET_HEARTBEAT ({self.heartbeat:g} s): one missed heartbeat must not lose a lease"
            )
        if self.retry_base > self.retry_cap:
            raise ValueError(
                f"AGENTFLEET_RETRY_BASE ({self.retry_base:g} s) must not exceed AGENTFLEET_RETRY_CAP ({self.retry_cap:g} s)"
            )
        return self


def environment(name: str) -> str | None:
    """An environment variable that a setting names, such as an account's ``api_key_env``."""
    return os.environ.get(name)
