"""The schema, as Alembic's target. CHECKs are built from the transition tables, so no row can be in a state that they
do not know. Ids are UUIDv7, made by the caller: inserts go to the right edge of every index.

Conversation and documents are ``text``, never ``jsonb``: jsonb reorders keys and rewrites numbers, and the provider
binds a turn's signatures to its exact content.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from agentfleet.domain.model import StepKind
from agentfleet.domain.states import BLOCKED_ON, RUN_FINAL, RunState, StepState
from agentfleet.store.departed import fate, run_tombstones, runs_ended
from agentfleet.store.planning import expectations, pool_loads, scale_decisions
from agentfleet.store.schema import NOW, metadata, one_of, run_id
from agentfleet.store.spending import alerts, batch_items, batches, budget_holds, budgets

__all__ = [
    "DEAD_LETTER_STATES", "EFFECTS", "NOW", "RUN_TABLES", "TENANT_TABLES", "alerts", "api_keys", "attempts",
    "audit", "batch_items", "batches", "budget_holds", "budgets", "bundles", "dead_letters", "expectations",
    "messages", "metadata", "pool_loads",
    "request_keys", "run_events", "run_tombstones", "runs", "scale_decisions", "steps", "tenants",
]  # fmt: skip

EFFECTS = ("read", "idempotent", "unsafe")
DEAD_LETTER_STATES = ("open", "replayed", "discarded")

tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("weight", Numeric(6, 3), nullable=False, server_default=text("1")),  # share of a contended provider
    Column("daily_budget", Text),  # JSON; none: no cap
    Column("retention", Text),  # JSON; none: the deployment's
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False, unique=True),  # the key itself is shown once and never stored
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("revoked_at", DateTime(timezone=True)),
)

bundles = Table(
    "bundles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("bundle_id", Text, ForeignKey("bundles.id"), nullable=False),
    Column("pool", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False),
    Column("blocked_on", Text),
    Column("input", Text, nullable=False),
    Column("output", Text),
    Column("error", Text),
    Column("metadata", Text, nullable=False, server_default=text("'{}'")),
    Column("traceparent", Text),
    Column("version", Integer, nullable=False, server_default=text("1")),  # raised by every write: the ETag
    Column("event_seq", Integer, nullable=False, server_default=text("0")),  # last event written
    Column("steps_total", Integer, nullable=False, server_default=text("0")),  # steps ever created: the next seq
    Column("open_steps", Integer, nullable=False, server_default=text("0")),  # not succeeded and not cancelled
    Column("waiting_steps", Integer, nullable=False, server_default=text("0")),
    Column("tool_calls", Integer, nullable=False, server_default=text("0")),
    Column("input_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("output_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("cache_read_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("cache_write_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("cost_usd", Numeric(16, 8), nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("deadline_at", DateTime(timezone=True)),
    Column("account", Text),  # of the provider: pinned while the conversation needs it
    Column("lane", Text),  # `batch`: its model calls may go through Message Batches
    Column("budget", Text),  # JSON; ceilings that were changed since it was accepted, instead of its bundle's
    Column("parent_run_id", Uuid),  # whose budget it spends, too
    Column("prompt_tokens", Integer),  # of the last model call and its answer: what the next prompt begins with
    Column("prompt_at", DateTime(timezone=True)),
    *fate(),
    CheckConstraint(one_of("state", [s.value for s in RunState]), name="state_known"),
    CheckConstraint(f"(state = '{RunState.WAITING.value}') = (blocked_on IS NOT NULL)", name="waiting_says_why"),
    CheckConstraint(one_of("blocked_on", BLOCKED_ON), name="blocked_on_known"),
    CheckConstraint(
        f"({one_of('state', sorted(s.value for s in RUN_FINAL))}) = (finished_at IS NOT NULL)",
        name="final_is_finished",
    ),
    CheckConstraint("open_steps >= 0 AND waiting_steps BETWEEN 0 AND open_steps", name="counters_sane"),
    CheckConstraint(f"(state = '{RunState.SUCCEEDED.value}') = (output IS NOT NULL)", name="succeeded_has_output"),
    Index("runs_by_tenant", "tenant_id", text("id DESC")),
    Index("runs_children", "parent_run_id", postgresql_where=text("parent_run_id IS NOT NULL")),
    Index("runs_deadline", "deadline_at", postgresql_where=text("finished_at IS NULL AND deadline_at IS NOT NULL")),
    runs_ended(),
)

steps = Table(
    "steps",
    metadata,
    Column("id", Uuid, primary_key=True),
    run_id(),
    Column("tenant_id", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("part", Integer, nullable=False, server_default=text("0")),
    Column("input", Text, nullable=False),
    Column("effect", Text),
    Column("state", Text, nullable=False),
    Column("fence", Integer, nullable=False, server_default=text("0")),  # raised by every claim
    Column("attempt", Integer, nullable=False, server_default=text("0")),  # attempts spent, the running one included
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("snoozes", Integer, nullable=False, server_default=text("0")),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("ready_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("dispatched_at", DateTime(timezone=True)),
    Column("claimed_at", DateTime(timezone=True)),
    Column("not_before", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("worker", Text),
    Column("finished_at", DateTime(timezone=True)),
    Column("error", Text),  # of the last failed attempt
    Column("blocked_on", Text),  # what it waits for
    Column("bucket", Text),  # the provider's bucket that it waits for: `account/model group`
    Column("input_estimate", Integer),  # tokens to be reserved of that bucket
    Column("output_estimate", Integer),
    UniqueConstraint("run_id", "seq"),
    CheckConstraint(one_of("state", [s.value for s in StepState]), name="state_known"),
    CheckConstraint(one_of("kind", [k.value for k in StepKind]), name="kind_known"),
    CheckConstraint(one_of("effect", EFFECTS), name="effect_known"),
    CheckConstraint(f"(state = '{StepState.RUNNING.value}') = (lease_until IS NOT NULL)", name="running_has_lease"),
    CheckConstraint(f"(state = '{StepState.WAITING.value}') = (not_before IS NOT NULL)", name="waiting_is_due"),
    Index(
        "steps_ready",
        "pool",
        "tenant_id",
        text("priority DESC"),
        "ready_at",
        postgresql_where=text(f"state = '{StepState.READY.value}'"),
    ),
    Index(
        "steps_dispatched", "pool", "dispatched_at", postgresql_where=text(f"state = '{StepState.DISPATCHED.value}'")
    ),
    Index("steps_lease", "lease_until", postgresql_where=text(f"state = '{StepState.RUNNING.value}'")),
    Index("steps_due", "not_before", postgresql_where=text(f"state = '{StepState.WAITING.value}'")),
    Index(
        "steps_admission",
        "pool",
        "bucket",
        "tenant_id",
        text("priority DESC"),
        "ready_at",
        postgresql_where=text(f"state = '{StepState.WAITING.value}' AND bucket IS NOT NULL"),
    ),
    Index(
        "steps_blocked",
        "blocked_on",
        "not_before",
        postgresql_where=text(f"state = '{StepState.WAITING.value}' AND blocked_on IN ('budget', 'batch')"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("step_id", Uuid, ForeignKey("steps.id", ondelete="CASCADE"), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),  # the event that ended it
    Column("verdict", Text),
    Column("error", Text),
    Column("worker", Text),
    Column("dispatched_at", DateTime(timezone=True)),
    Column("claimed_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=False),
    Column("request_id", Text),
    Column("usage", Text),  # as the provider reported it
    Column("cost_usd", Numeric(16, 8), nullable=False, server_default=text("0")),
    Column("release", Text),  # of the worker that ended it; none when that died
    PrimaryKeyConstraint("step_id", "fence"),
)

messages = Table(
    "messages",
    metadata,
    run_id(),
    Column("turn", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("step_id", Uuid),  # who wrote it; none for the run's input
    PrimaryKeyConstraint("run_id", "turn", "part"),
    CheckConstraint(one_of("role", ("user", "assistant")), name="role_known"),
)

run_events = Table(
    "run_events",
    metadata,
    run_id(),
    Column("seq", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    PrimaryKeyConstraint("run_id", "seq"),
)

request_keys = Table(
    "request_keys",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column(
        "run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), nullable=False
    ),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index("request_keys_run_id", "run_id"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Text),  # none for a message that belongs to no step
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE")),
    Column("step_id", Uuid, ForeignKey("steps.id", ondelete="CASCADE")),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("verdict", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("raw", LargeBinary),  # an unreadable message, as it came
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("resolved_at", DateTime(timezone=True)),
    Column("fingerprint", Text),  # the same for failures of the same kind, at the same place, with the same words
    Column("resolution", Text),  # JSON: what was done about it
    CheckConstraint(one_of("state", DEAD_LETTER_STATES), name="state_known"),
    CheckConstraint("(step_id IS NULL) = (raw IS NOT NULL)", name="step_or_raw"),
    Index("dead_letters_open", "tenant_id", text("id DESC"), postgresql_where=text("state = 'open'")),
    Index("dead_letters_cluster", "tenant_id", "fingerprint", postgresql_where=text("state = 'open'")),
    Index("dead_letters_one_open_per_step", "step_id", unique=True, postgresql_where=text("state = 'open'")),
    Index("dead_letters_run_id", "run_id"),
    Index("dead_letters_step_id", "step_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("actor", Text, nullable=False),  # the API key's id
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
)

TENANT_TABLES = ("runs", "steps", "request_keys", "dead_letters", "audit", "api_keys", "budgets", "run_tombstones")
"""Row-level security by their own ``tenant_id``."""
RUN_TABLES = ("attempts", "messages", "run_events", "budget_holds", "batch_items")
"""Row-level security through the run, step or budget they belong to."""
