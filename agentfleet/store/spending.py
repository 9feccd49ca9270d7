"""The tables of what is spent: budgets and what is held of them, batches, and the alerts that tell a human."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)

from agentfleet.domain.batch import ItemState
from agentfleet.store.schema import NOW, metadata, one_of

BATCH_STATES = ("sending", "sent", "ended", "lost")
BATCH_ITEM_STATES = tuple(state.value for state in ItemState)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),  # `run/<id>` or `tenant/<id>/<day>`
    Column("tenant_id", Text, nullable=False),
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE")),  # none: the tenant's, for a day
    Column("max_steps", BigInteger),
    Column("max_tool_calls", BigInteger),
    Column("max_tokens", BigInteger),
    Column("max_cost_usd", Numeric(16, 8)),
    Column("used_steps", BigInteger, nullable=False, server_default=text("0")),
    Column("used_tool_calls", BigInteger, nullable=False, server_default=text("0")),
    Column("used_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("used_cost_usd", Numeric(16, 8), nullable=False, server_default=text("0")),
    Column("held_steps", BigInteger, nullable=False, server_default=text("0")),  # the sum of its holds
    Column("held_tool_calls", BigInteger, nullable=False, server_default=text("0")),
    Column("held_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("held_cost_usd", Numeric(16, 8), nullable=False, server_default=text("0")),
    Column("alerted_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Index("budgets_run_id", "run_id", postgresql_where=text("run_id IS NOT NULL")),
)

budget_holds = Table(
    "budget_holds",
    metadata,
    Column("budget_id", Text, ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
    Column("step_id", Uuid, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    Column("steps", Integer, nullable=False),
    Column("tool_calls", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost_usd", Numeric(16, 8), nullable=False),
    Index("budget_holds_step_id", "step_id"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account", Text, nullable=False),
    Column("provider_id", Text, unique=True),  # none while nobody knows whether it was accepted
    Column("state", Text, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint(one_of("state", BATCH_STATES), name="state_known"),
    Index("batches_open", "created_at", postgresql_where=text("state IN ('sending', 'sent')")),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("step_id", Uuid, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    Column("batch_id", Uuid, ForeignKey("batches.id", ondelete="CASCADE")),
    Column("custom_id", Text, unique=True),  # neither while it waits for a batch
    Column("state", Text, nullable=False),
    Column("result", Text),  # as the provider sent it
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint(one_of("state", BATCH_ITEM_STATES), name="state_known"),
    Index("batch_items_batch_id", "batch_id"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Text, nullable=False, server_default=text("'{}'")),
    Column("seen", Integer, nullable=False, server_default=text("1")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("last_seen_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("resolved_at", DateTime(timezone=True)),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("send_at", DateTime(timezone=True), server_default=NOW),  # none: told
    Index("alerts_one_open", "kind", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
    Index("alerts_unsent", "send_at", postgresql_where=text("send_at IS NOT NULL")),
)
