"""What is left of runs that were kept for long enough: first the run without its details, then its tombstone alone."""

from sqlalchemy import Column, DateTime, Index, Table, Text, Uuid, text

from agentfleet.store.schema import NOW, metadata


def fate() -> tuple[Column[object], Column[object]]:
    """Of a run: when its steps, messages and events were deleted, and the object that holds all of it."""
    return Column("stripped_at", DateTime(timezone=True)), Column("archived_to", Text)


def runs_ended() -> Index:
    """Who of a tenant has been kept for how long. Made of what changes once: see the migration."""
    key = ("tenant_id", text("(output IS NOT NULL)"), text("(stripped_at IS NOT NULL)"), "finished_at")
    return Index("runs_ended", *key, postgresql_where=text("finished_at IS NOT NULL"))


run_tombstones = Table(
    "run_tombstones",
    metadata,
    Column("id", Uuid, primary_key=True),  # the run's
    Column("tenant_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("archived_to", Text),
    Index("run_tombstones_deleted", "deleted_at"),
)
"""Runs that were deleted, for as long as somebody may still ask for them."""
