"""Every setting, its meaning, its default and its reason. The only reader of the environment.

Values come from the environment (prefix ``AGENTFLEET_``). Cross-checks fail at start and name both values.
"""

import os
from typing import Literal, Self

from pydantic import AliasChoices, Field, FilePath, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from agentfleet.settings.retention import RetentionSettings
from agentfleet.settings.types import Names, Seconds, TextOrFile, WebhookKey, WebhookUrl


class Settings(RetentionSettings):
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

    # The model provider
    provider: str = Field(
        default="anthropic", description="`anthropic`, or `package.module:factory` of a Reasoner of your own."
    )
    provider_base_url: str | None = Field(
        default=None,
        description="Where the Messages API is; unset means Anthropic's. `dev` points it at the simulator when there is no key.",
    )
    provider_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("AGENTFLEET_PROVIDER_API_KEY", "ANTHROPIC_API_KEY"),
        description="The provider's key; ANTHROPIC_API_KEY is read too.",
    )
    accounts: TextOrFile = Field(
        default=None,
        description="Several accounts or platforms: a JSON list, or `@/path/to/file.json`. In place of the key and the URL above. See docs/guides/accounts.md.",
    )
    provider_pool_size: int | None = Field(
        default=None,
        ge=1,
        description="Most connections of one worker process to the provider, all accounts together; a call takes one. Unset: as many as AGENTFLEET_WORKER_CAPACITY, if the limit of open files (ulimit -n) less 256 allows.",
    )
    provider_pool_per_host: int | None = Field(
        default=None, ge=1, description="Most of them to one host. Unset: as many as to all."
    )
    provider_keep_alive: Seconds = Field(
        default=15.0,
        description="How long an idle connection is kept: below what servers and NATs usually grant, so that none is used that is dead.",
    )
    provider_connect_timeout: Seconds = Field(
        default=5.0, description="Longest way to a connection: name resolution, TCP and TLS."
    )
    provider_first_byte_timeout: Seconds = Field(
        default=60.0, description="Longest wait for the first byte of an answer, connecting included."
    )
    provider_idle_timeout: Seconds = Field(
        default=30.0, description="Longest silence inside an answer that has begun. Pings count as sound."
    )
    reason_timeout: Seconds = Field(default=600.0, description="Longest whole model call, however steadily it drips.")

    provider_limits: str | None = Field(
        default=None,
        description='Never use more than this a minute, as JSON by model group or `organization/group`: `{"sonnet-5.5": {"requests": 1000, "input_tokens": 2000000, "output_tokens": 400000}}`. Unset: what the provider\'s answers allow.',
    )
    provider_admin_key: SecretStr | None = Field(
        default=None,
        description="An admin key of the organization: with it the dispatcher reads the limits that hold, at its start and once an hour. Unset: they are learned from answers.",
    )
    provider_burst: Seconds = Field(
        default=5.0,
        description="Seconds' worth of a limit that may be used at once: the provider may enforce it over less than its minute.",
    )
    provider_ramp: Seconds = Field(
        default=20.0,
        description="After a minute of idleness use grows from a quarter of a limit to all of it in this time; sudden growth is refused.",
    )
    provider_stagger: float = Field(
        default=10.0,
        ge=0,
        description="Longest wait of a call for the first words of another one with the same long tools and instructions: then it reads them from the provider's cache instead of writing them once more. 0: nobody waits.",
    )
    provider_overload_probe: Seconds = Field(
        default=10.0, description="How often a model is tried that was overloaded three times in a row."
    )
    provider_probe: Seconds = Field(
        default=300.0, description="How often a parked account is tried: each try may be refused again."
    )

    # Answers that are used again
    answer_cache_bytes: int = Field(
        default=67_108_864,
        ge=65_536,
        description="Most memory of Redis for answers and results that agents and tools offer to be used again.",
    )
    answer_cache_wait: Seconds = Field(
        default=60.0,
        description="Longest wait for such an answer that somebody else is just asking for; then a run asks for itself.",
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

    # The autoscaler
    internal_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The key of `/internal/...`, which autoscalers and operators ask. Unset: nobody may. `dev` makes one.",
    )
    scale_min_workers: int = Field(
        default=1, ge=0, description="Workers that a pool keeps warm, whatever there is to do."
    )
    scale_max_workers: int = Field(default=10, ge=1, description="Most workers of a pool.")
    scale_headroom: float = Field(
        default=0.4, ge=0, description="The share of slots on top of what the work needs: 0.3 is calm, 0.5 bursty."
    )
    scale_drain_target: Seconds = Field(default=30.0, description="Seconds within which a backlog should have begun.")
    scale_lead: float = Field(
        default=120.0,
        ge=0,
        description="From wanting a worker to having it at work: what is announced is expected so much earlier.",
    )
    scale_pools: str | None = Field(
        default=None,
        description='What differs for single pools, as JSON: `{"batch": {"min_workers": 0, "max_workers": 50, "concurrency": 200}}`. See docs/guides/autoscaling.md.',
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
        if self.scale_min_workers > self.scale_max_workers:
            raise ValueError(
                f"AGENTFLEET_SCALE_MIN_WORKERS ({self.scale_min_workers}) must not exceed AGENTFLEET_SCALE_MAX_WORKERS ({self.scale_max_workers})"
            )
        if self.retry_base > self.retry_cap:
            raise ValueError(
                f"AGENTFLEET_RETRY_BASE ({self.retry_base:g} s) must not exceed AGENTFLEET_RETRY_CAP ({self.retry_cap:g} s)"
            )
        return self


def environment(name: str) -> str | None:
    """An environment variable that a setting names, such as an account's ``api_key_env``."""
    return os.environ.get(name)
