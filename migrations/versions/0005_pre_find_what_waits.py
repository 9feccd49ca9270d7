"""Find what waits: by the provider's bucket, by budget and batch; the children of a run, the likes of a dead letter.

Revision: 0005
Revises: 0004

pre: runs before the code that needs it. The indexes are built while everybody writes.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

INDEXES = {
    "steps_admission": "steps (pool, bucket, tenant_id, priority DESC, ready_at)"
    " WHERE state = 'waiting' AND bucket IS NOT NULL",
    "steps_blocked": "steps (blocked_on, not_before) WHERE state = 'waiting' AND blocked_on IN ('budget', 'batch')",
    "runs_children": "runs (parent_run_id) WHERE parent_run_id IS NOT NULL",
    "dead_letters_cluster": "dead_letters (tenant_id, fingerprint) WHERE state = 'open'",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for open transactions, and nobody waits behind it
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # one that was cut off is there, but not valid
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")


def downgrade() -> None:
    op.execute(f"DROP INDEX {', '.join(INDEXES)}")
