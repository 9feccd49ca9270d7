"""Create the core: runs, steps and everything that their lives write.

Revision: 0001
Revises: nothing

pre: runs before the code that needs it. Frozen once merged: later changes are later files.
"""

from alembic import op

revision = "0001"
down_revision = None

ROLES = """
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['agentfleet_app', 'agentfleet_fleet'] LOOP
        -- Roles belong to the cluster, so another database's migration may be creating them at this moment.
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        -- To connect, processes SET ROLE. Since Postgres 16 who creates a role may grant it but not yet be it.
        IF NOT pg_has_role(current_user, role, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', role, current_user);
        ELSIF current_setting('server_version_num')::int >= 160000 THEN
            IF NOT pg_has_role(current_user, role, 'SET') THEN
                EXECUTE format('GRANT %I TO %I WITH SET TRUE', role, current_user);
            END IF;
        END IF;
    END LOOP;
END $$;
"""

CLOCK = """
-- Time in SQL is this one function, so that a test owns the clock by replacing it.
CREATE FUNCTION agentfleet_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT now()';
"""

TABLES = """
CREATE TABLE audit (
    id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT audit_pkey PRIMARY KEY (id)
);

CREATE TABLE bundles (
    id TEXT NOT NULL,
    agent TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT bundles_pkey PRIMARY KEY (id)
);

CREATE TABLE tenants (
    id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT tenants_pkey PRIMARY KEY (id)
);

CREATE TABLE api_keys (
    id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT api_keys_secret_sha256_key UNIQUE (secret_sha256)
);

CREATE TABLE runs (
    id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    bundle_id TEXT NOT NULL,
    pool TEXT NOT NULL,
    priority SMALLINT DEFAULT 0 NOT NULL,
    state TEXT NOT NULL,
    blocked_on TEXT,
    input TEXT NOT NULL,
    output TEXT,
    error TEXT,
    metadata TEXT DEFAULT '{}' NOT NULL,
    traceparent TEXT,
    version INTEGER DEFAULT 1 NOT NULL,
    event_seq INTEGER DEFAULT 0 NOT NULL,
    steps_total INTEGER DEFAULT 0 NOT NULL,
    open_steps INTEGER DEFAULT 0 NOT NULL,
    waiting_steps INTEGER DEFAULT 0 NOT NULL,
    tool_calls INTEGER DEFAULT 0 NOT NULL,
    input_tokens BIGINT DEFAULT 0 NOT NULL,
    output_tokens BIGINT DEFAULT 0 NOT NULL,
    cache_read_tokens BIGINT DEFAULT 0 NOT NULL,
    cache_write_tokens BIGINT DEFAULT 0 NOT NULL,
    cost_usd NUMERIC(16, 8) DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    deadline_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT runs_pkey PRIMARY KEY (id),
    CONSTRAINT runs_state_known CHECK (state IN ('queued', 'running', 'waiting', 'paused', 'needs_review', 'succeeded', 'failed', 'cancelled', 'expired')),
    CONSTRAINT runs_waiting_says_why CHECK ((state = 'waiting') = (blocked_on IS NOT NULL)),
    CONSTRAINT runs_blocked_on_known CHECK (blocked_on IN ('timer', 'provider', 'concurrency', 'tenant_share', 'budget', 'approval', 'signal', 'children', 'batch')),
    CONSTRAINT runs_final_is_finished CHECK ((state IN ('cancelled', 'expired', 'failed', 'succeeded')) = (finished_at IS NOT NULL)),
    CONSTRAINT runs_counters_sane CHECK (open_steps >= 0 AND waiting_steps BETWEEN 0 AND open_steps),
    CONSTRAINT runs_succeeded_has_output CHECK ((state = 'succeeded') = (output IS NOT NULL)),
    CONSTRAINT runs_bundle_id_fkey FOREIGN KEY(bundle_id) REFERENCES bundles (id)
);

CREATE INDEX runs_by_tenant ON runs (tenant_id, id DESC);

CREATE INDEX runs_deadline ON runs (deadline_at) WHERE finished_at IS NULL AND deadline_at IS NOT NULL;

CREATE TABLE messages (
    run_id UUID NOT NULL,
    turn INTEGER NOT NULL,
    part INTEGER NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    step_id UUID,
    CONSTRAINT messages_pkey PRIMARY KEY (run_id, turn, part),
    CONSTRAINT messages_role_known CHECK (role IN ('user', 'assistant')),
    CONSTRAINT messages_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE request_keys (
    tenant_id TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    run_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT request_keys_pkey PRIMARY KEY (tenant_id, key),
    CONSTRAINT request_keys_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE run_events (
    run_id UUID NOT NULL,
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT run_events_pkey PRIMARY KEY (run_id, seq),
    CONSTRAINT run_events_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE steps (
    id UUID NOT NULL,
    run_id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    pool TEXT NOT NULL,
    agent TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    turn INTEGER NOT NULL,
    part INTEGER DEFAULT 0 NOT NULL,
    input TEXT NOT NULL,
    effect TEXT,
    state TEXT NOT NULL,
    fence INTEGER DEFAULT 0 NOT NULL,
    attempt INTEGER DEFAULT 0 NOT NULL,
    crashes INTEGER DEFAULT 0 NOT NULL,
    snoozes INTEGER DEFAULT 0 NOT NULL,
    priority SMALLINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    ready_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    dispatched_at TIMESTAMP WITH TIME ZONE,
    claimed_at TIMESTAMP WITH TIME ZONE,
    not_before TIMESTAMP WITH TIME ZONE,
    lease_until TIMESTAMP WITH TIME ZONE,
    worker TEXT,
    finished_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    CONSTRAINT steps_pkey PRIMARY KEY (id),
    CONSTRAINT steps_run_id_key UNIQUE (run_id, seq),
    CONSTRAINT steps_state_known CHECK (state IN ('ready', 'dispatched', 'running', 'waiting', 'succeeded', 'dead', 'cancelled')),
    CONSTRAINT steps_kind_known CHECK (kind IN ('reason', 'tool')),
    CONSTRAINT steps_effect_known CHECK (effect IN ('read', 'idempotent', 'unsafe')),
    CONSTRAINT steps_running_has_lease CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT steps_waiting_is_due CHECK ((state = 'waiting') = (not_before IS NOT NULL)),
    CONSTRAINT steps_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX steps_dispatched ON steps (pool, dispatched_at) WHERE state = 'dispatched';

CREATE INDEX steps_due ON steps (not_before) WHERE state = 'waiting';

CREATE INDEX steps_lease ON steps (lease_until) WHERE state = 'running';

CREATE INDEX steps_ready ON steps (pool, tenant_id, priority DESC, ready_at) WHERE state = 'ready';

CREATE TABLE attempts (
    step_id UUID NOT NULL,
    fence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    verdict TEXT,
    error TEXT,
    worker TEXT,
    dispatched_at TIMESTAMP WITH TIME ZONE,
    claimed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    request_id TEXT,
    usage TEXT,
    cost_usd NUMERIC(16, 8) DEFAULT 0 NOT NULL,
    CONSTRAINT attempts_pkey PRIMARY KEY (step_id, fence),
    CONSTRAINT attempts_step_id_fkey FOREIGN KEY(step_id) REFERENCES steps (id) ON DELETE CASCADE
);

CREATE TABLE dead_letters (
    id UUID NOT NULL,
    tenant_id TEXT,
    run_id UUID,
    step_id UUID,
    state TEXT DEFAULT 'open' NOT NULL,
    verdict TEXT NOT NULL,
    error TEXT NOT NULL,
    raw BYTEA,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letters_state_known CHECK (state IN ('open', 'replayed', 'discarded')),
    CONSTRAINT dead_letters_step_or_raw CHECK ((step_id IS NULL) = (raw IS NOT NULL)),
    CONSTRAINT dead_letters_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
    CONSTRAINT dead_letters_step_id_fkey FOREIGN KEY(step_id) REFERENCES steps (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX dead_letters_one_open_per_step ON dead_letters (step_id) WHERE state = 'open';

CREATE INDEX dead_letters_open ON dead_letters (tenant_id, id DESC) WHERE state = 'open';
"""

FUNCTIONS = """
-- May a step that is created now skip the dispatcher? Only when nobody waits before it and the window has room.
-- It sees all tenants' steps, whoever asks, and tells nothing but yes or no.
CREATE FUNCTION agentfleet_pool_open(wanted text, room int) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM steps WHERE pool = wanted AND state = 'ready')
       AND (SELECT count(*) FROM (SELECT FROM steps WHERE pool = wanted AND state = 'dispatched' LIMIT room) AS d) < room
$$;

-- Whose key is this? The ingress asks before it knows the tenant, so it cannot read the table itself.
CREATE FUNCTION agentfleet_authenticate(secret bytea) RETURNS TABLE (id uuid, tenant_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT k.id, k.tenant_id FROM api_keys k WHERE k.secret_sha256 = secret AND k.revoked_at IS NULL
$$;

-- How far are these runs? One ingress waits for the runs of many tenants at once. It tells no content.
CREATE FUNCTION agentfleet_watch_runs(wanted uuid[]) RETURNS TABLE (id uuid, version int, event_seq int, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.id, r.version, r.event_seq, r.state FROM runs r WHERE r.id = ANY(wanted)
$$;

GRANT CREATE ON SCHEMA public TO agentfleet_fleet;
ALTER FUNCTION agentfleet_pool_open OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_authenticate OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_watch_runs OWNER TO agentfleet_fleet;
REVOKE CREATE ON SCHEMA public FROM agentfleet_fleet;
REVOKE ALL ON FUNCTION agentfleet_authenticate, agentfleet_watch_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agentfleet_authenticate, agentfleet_watch_runs TO agentfleet_app, agentfleet_fleet;
"""

GRANTS = """
GRANT USAGE ON SCHEMA public TO agentfleet_app, agentfleet_fleet;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO agentfleet_fleet;
GRANT SELECT, INSERT ON tenants, api_keys, bundles, request_keys, messages, run_events, attempts, audit TO agentfleet_app;
GRANT SELECT, INSERT, UPDATE ON runs, steps, dead_letters TO agentfleet_app;
REVOKE ALL ON alembic_version FROM agentfleet_app;
GRANT SELECT ON alembic_version TO agentfleet_app, agentfleet_fleet;
REVOKE UPDATE, DELETE ON audit FROM agentfleet_fleet;
"""

OWN_TENANT = ("runs", "steps", "request_keys", "dead_letters", "audit", "api_keys")
THROUGH_RUN = ("messages", "run_events")
POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON {table} TO agentfleet_fleet USING (true) WITH CHECK (true);
CREATE POLICY tenant ON {table} TO agentfleet_app USING ({owns}) WITH CHECK ({checks});
"""
# The sub-select is evaluated once per statement; nullif, because a used and reset setting reads as an empty string.
OWNS = "tenant_id = (SELECT nullif(current_setting('agentfleet.tenant_id', true), ''))"


def upgrade() -> None:
    for statement in (ROLES, CLOCK, TABLES, FUNCTIONS, GRANTS):
        op.execute(statement)
    for table in OWN_TENANT:
        op.execute(POLICY.format(table=table, owns=OWNS, checks=OWNS))
    for table in THROUGH_RUN:
        # Written in the same statement as their run, which a policy cannot see yet: reading is what is bound here.
        op.execute(
            POLICY.format(table=table, owns=f"EXISTS (SELECT FROM runs r WHERE r.id = {table}.run_id)", checks="true")
        )
    op.execute(
        POLICY.format(
            table="attempts", owns="EXISTS (SELECT FROM steps s WHERE s.id = attempts.step_id)", checks="true"
        )
    )


def downgrade() -> None:
    op.execute("""
        DROP TABLE IF EXISTS audit, dead_letters, request_keys, run_events, messages, attempts, steps, runs, bundles,
                             api_keys, tenants CASCADE;
        DROP FUNCTION IF EXISTS agentfleet_pool_open, agentfleet_authenticate, agentfleet_watch_runs, agentfleet_now;
    """)
