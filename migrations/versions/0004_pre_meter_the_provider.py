"""Meter the provider: why a step waits, budgets and what is held of them, batches, alerts, dead letters by fingerprint.

Revision: 0004
Revises: 0003

pre: runs before the code that needs it. Code of before leaves the new columns empty and promotes whatever is due.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = """
ALTER TABLE steps ADD COLUMN blocked_on TEXT, ADD COLUMN bucket TEXT, ADD COLUMN input_estimate INTEGER,
                  ADD COLUMN output_estimate INTEGER;
ALTER TABLE runs ADD COLUMN account TEXT, ADD COLUMN lane TEXT, ADD COLUMN budget TEXT, ADD COLUMN parent_run_id UUID,
                 ADD COLUMN prompt_tokens INTEGER, ADD COLUMN prompt_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE tenants ADD COLUMN weight NUMERIC(6, 3) DEFAULT 1 NOT NULL, ADD COLUMN daily_budget TEXT;
ALTER TABLE dead_letters ADD COLUMN fingerprint TEXT, ADD COLUMN resolution TEXT;
"""

TABLES = """
CREATE TABLE budgets (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    run_id UUID,
    max_steps BIGINT,
    max_tool_calls BIGINT,
    max_tokens BIGINT,
    max_cost_usd NUMERIC(16, 8),
    used_steps BIGINT DEFAULT 0 NOT NULL,
    used_tool_calls BIGINT DEFAULT 0 NOT NULL,
    used_tokens BIGINT DEFAULT 0 NOT NULL,
    used_cost_usd NUMERIC(16, 8) DEFAULT 0 NOT NULL,
    alerted_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT budgets_pkey PRIMARY KEY (id),
    CONSTRAINT budgets_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE budget_holds (
    budget_id TEXT NOT NULL,
    step_id UUID NOT NULL,
    steps INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    tokens BIGINT NOT NULL,
    cost_usd NUMERIC(16, 8) NOT NULL,
    CONSTRAINT budget_holds_pkey PRIMARY KEY (budget_id, step_id),
    CONSTRAINT budget_holds_budget_id_fkey FOREIGN KEY(budget_id) REFERENCES budgets (id) ON DELETE CASCADE,
    CONSTRAINT budget_holds_step_id_fkey FOREIGN KEY(step_id) REFERENCES steps (id) ON DELETE CASCADE
);

CREATE INDEX budget_holds_step_id ON budget_holds (step_id);

CREATE TABLE batches (
    id UUID NOT NULL,
    account TEXT NOT NULL,
    provider_id TEXT,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT batches_pkey PRIMARY KEY (id),
    CONSTRAINT batches_provider_id_key UNIQUE (provider_id),
    CONSTRAINT batches_state_known CHECK (state IN ('sending', 'sent', 'ended', 'lost'))
);

CREATE INDEX batches_open ON batches (created_at) WHERE state IN ('sending', 'sent');

CREATE TABLE batch_items (
    step_id UUID NOT NULL,
    batch_id UUID,
    custom_id TEXT,
    state TEXT NOT NULL,
    result TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT batch_items_pkey PRIMARY KEY (step_id),
    CONSTRAINT batch_items_custom_id_key UNIQUE (custom_id),
    CONSTRAINT batch_items_state_known CHECK (state IN ('sending', 'succeeded', 'failed', 'spilled')),
    CONSTRAINT batch_items_step_id_fkey FOREIGN KEY(step_id) REFERENCES steps (id) ON DELETE CASCADE,
    CONSTRAINT batch_items_batch_id_fkey FOREIGN KEY(batch_id) REFERENCES batches (id) ON DELETE CASCADE
);

CREATE INDEX batch_items_batch_id ON batch_items (batch_id);

CREATE TABLE alerts (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    data TEXT DEFAULT '{}' NOT NULL,
    seen INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    tries INTEGER DEFAULT 0 NOT NULL,
    send_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now(),
    CONSTRAINT alerts_pkey PRIMARY KEY (id)
);

CREATE UNIQUE INDEX alerts_one_open ON alerts (kind, subject) WHERE resolved_at IS NULL;

CREATE INDEX alerts_unsent ON alerts (send_at) WHERE send_at IS NOT NULL;
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON budgets, budget_holds, batches, batch_items, alerts TO agentfleet_fleet;
GRANT SELECT, INSERT, UPDATE ON budgets TO agentfleet_app;
GRANT SELECT ON budget_holds, batch_items TO agentfleet_app;
"""

POLICIES = """
ALTER TABLE budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE budgets FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON budgets TO agentfleet_fleet USING (true) WITH CHECK (true);
CREATE POLICY tenant ON budgets TO agentfleet_app
    USING (tenant_id = (SELECT nullif(current_setting('agentfleet.tenant_id', true), '')))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('agentfleet.tenant_id', true), '')));
ALTER TABLE budget_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_holds FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON budget_holds TO agentfleet_fleet USING (true) WITH CHECK (true);
CREATE POLICY tenant ON budget_holds TO agentfleet_app
    USING (EXISTS (SELECT FROM budgets b WHERE b.id = budget_holds.budget_id)) WITH CHECK (true);
ALTER TABLE batch_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE batch_items FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON batch_items TO agentfleet_fleet USING (true) WITH CHECK (true);
CREATE POLICY tenant ON batch_items TO agentfleet_app
    USING (EXISTS (SELECT FROM steps s WHERE s.id = batch_items.step_id)) WITH CHECK (true);
"""


def upgrade() -> None:
    for statement in (COLUMNS, TABLES, GRANTS, POLICIES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("""
        DROP TABLE alerts, batch_items, batches, budget_holds, budgets;
        ALTER TABLE steps DROP COLUMN blocked_on, DROP COLUMN bucket, DROP COLUMN input_estimate,
                          DROP COLUMN output_estimate;
        ALTER TABLE runs DROP COLUMN account, DROP COLUMN lane, DROP COLUMN budget, DROP COLUMN parent_run_id,
                         DROP COLUMN prompt_tokens, DROP COLUMN prompt_at;
        ALTER TABLE tenants DROP COLUMN weight, DROP COLUMN daily_budget;
        ALTER TABLE dead_letters DROP COLUMN fingerprint, DROP COLUMN resolution;
    """)
