"""Keep for a while: how long a tenant's runs stay, and where they went.

Revision: 0007
Revises: 0006

pre: runs before the code that needs it. Code of before sees neither the new columns nor the table. All that comes before
the indexes is committed before the first of them is built: who was cut off in one runs all of it again.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = """
ALTER TABLE runs ADD COLUMN IF NOT EXISTS stripped_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN IF NOT EXISTS archived_to TEXT;
ALTER TABLE tenants ADD COLUMN IF NOT EXISTS retention TEXT;
"""

TABLES = """
CREATE TABLE IF NOT EXISTS run_tombstones (
    id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    state TEXT NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    archived_to TEXT,
    CONSTRAINT run_tombstones_pkey PRIMARY KEY (id)
);

CREATE INDEX IF NOT EXISTS run_tombstones_deleted ON run_tombstones (deleted_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON run_tombstones TO agentfleet_fleet;
GRANT SELECT ON run_tombstones TO agentfleet_app;
ALTER TABLE run_tombstones ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_tombstones FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS fleet ON run_tombstones;
DROP POLICY IF EXISTS tenant ON run_tombstones;
CREATE POLICY fleet ON run_tombstones TO agentfleet_fleet USING (true) WITH CHECK (true);
CREATE POLICY tenant ON run_tombstones TO agentfleet_app
    USING (tenant_id = (SELECT nullif(current_setting('agentfleet.tenant_id', true), '')))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('agentfleet.tenant_id', true), '')));
"""

INDEXES = {
    # By what changes once, when the run ends: an index of the state would cost every other change of it a HOT update.
    "runs_ended": "runs (tenant_id, (output IS NOT NULL), (stripped_at IS NOT NULL), finished_at)"
    " WHERE finished_at IS NOT NULL",
    # What a deleted run or step takes with it is found by these; the other foreign keys had theirs.
    "request_keys_run_id": "request_keys (run_id)",
    "dead_letters_run_id": "dead_letters (run_id)",
    "dead_letters_step_id": "dead_letters (step_id)",
    "budgets_run_id": "budgets (run_id) WHERE run_id IS NOT NULL",
}

BIG = ("runs", "steps", "attempts", "messages", "run_events")
# The defaults clean a table up when a fifth of it is dead: of 100 million steps that is 20 million at once.
VACUUM = {"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_cost_limit": "1000"}
OWN = {"autovacuum_vacuum_insert_scale_factor": "0.05", "autovacuum_analyze_scale_factor": "0.02"}
OPTIONS = {**VACUUM, **OWN, **{f"toast.{name}": value for name, value in VACUUM.items()}}


def upgrade() -> None:
    for statement in (COLUMNS, TABLES):
        op.execute(statement)
    for table in BIG:
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in OPTIONS.items())})")
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for open transactions, and nobody waits behind it
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # one that was cut off is there, but not valid
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")


def downgrade() -> None:
    op.execute(f"DROP INDEX {', '.join(INDEXES)}")
    for table in BIG:
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(OPTIONS)})")
    op.execute("""
        DROP TABLE run_tombstones;
        ALTER TABLE runs DROP COLUMN stripped_at, DROP COLUMN archived_to;
        ALTER TABLE tenants DROP COLUMN retention;
    """)
