"""The tables of planning: what pools had to do, what was decided, what is expected. No tenant's data."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Float, Table, Text, Uuid, text

from agentfleet.store.schema import NOW, metadata

pool_loads = Table(
    "pool_loads",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),  # five minutes begin
    Column("until", DateTime(timezone=True), nullable=False),  # counted as far as this
    Column("arrivals", BigInteger, nullable=False),  # steps that came into being
    Column("seconds", Float, nullable=False),  # in which they did
    Column("rate", Float, nullable=False),  # arrivals a second over the last minute or so
    Column("step_seconds", Float),  # for which a step holds a slot, of late; none: nobody knows
    Column("provider_slots", Float),  # that the provider's limits can keep busy; none: no limit is known
)

scale_decisions = Table(
    "scale_decisions",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    Column("decision", Text, nullable=False),  # JSON, as the API answers
    Column("state", Text, nullable=False),  # JSON, for the next decision
)

expectations = Table(
    "expectations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("pool", Text),  # none: every pool
    Column("at", DateTime(timezone=True)),
    Column("cron", Text),
    Column("tz", Text, nullable=False, server_default=text("'UTC'")),
    Column("seconds", Float, nullable=False),  # for which it lasts
    Column("factor", Float, nullable=False),  # of what would come without it
    Column("note", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    CheckConstraint("(at IS NULL) <> (cron IS NULL)", name="once_or_again"),
    CheckConstraint("seconds > 0 AND factor > 0", name="positive"),
)
