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
    held_steps BIGINT DEFAULT 0 NOT NULL,
    held_tool_calls BIGINT DEFAULT 0 NOT NULL,
    held_tokens BIGINT DEFAULT 0 NOT NULL,
    held_cost_usd NUMERIC(16, 8) DEFAULT 0 NOT NULL,
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
    CONSTRAINT batch_items_state_known CHECK (state IN ('waiting', 'sending', 'succeeded', 'failed', 'spilled')),
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

FUNCTIONS = """
-- How many stand before this step, itself included, and `room` at most? They see all tenants' steps, whoever asks, and
-- tell nothing but a number. Tenants take turns (see dispatch_steps.sql): of each other one at least as many go first as
-- of its own, as far as it has them.
CREATE FUNCTION agentfleet_queue_position(wanted uuid, room int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH RECURSIVE step AS MATERIALIZED (  -- by its id: on the day of its plan the queue may be empty, and an index of it cheap
        SELECT * FROM steps WHERE id = wanted
    ), me AS MATERIALIZED (
        SELECT pool, tenant_id, priority, ready_at FROM step WHERE state = 'ready'
    ), own AS MATERIALIZED (
        SELECT least(room, (
            SELECT count(*) FROM (SELECT FROM steps s WHERE s.state = 'ready' AND s.pool = me.pool
                AND s.tenant_id = me.tenant_id AND s.priority > me.priority LIMIT room) AS p
        ) + (
            SELECT count(*) FROM (SELECT FROM steps s WHERE s.state = 'ready' AND s.pool = me.pool
                AND s.tenant_id = me.tenant_id AND s.priority = me.priority AND s.ready_at < me.ready_at LIMIT room) AS e
        )) AS ahead FROM me
    ), tenant AS (
        (SELECT s.tenant_id FROM steps s WHERE s.state = 'ready' AND s.pool = (SELECT pool FROM me)
         ORDER BY s.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.tenant_id FROM steps s WHERE s.state = 'ready' AND s.pool = (SELECT pool FROM me)
                AND s.tenant_id > tenant.tenant_id ORDER BY s.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.tenant_id IS NOT NULL
    ), others AS (
        SELECT count(*) AS ahead FROM (
            SELECT FROM tenant CROSS JOIN LATERAL (
                SELECT FROM steps s WHERE s.state = 'ready' AND s.pool = (SELECT pool FROM me)
                    AND s.tenant_id = tenant.tenant_id LIMIT (SELECT ahead FROM own)
            ) AS t WHERE tenant.tenant_id <> (SELECT tenant_id FROM me) LIMIT room
        ) AS o
    )
    SELECT least(room, own.ahead + others.ahead + 1)::int FROM own, others
$$;

-- The same for a step that waits for the provider: tenants are served by their weights (see admission).
CREATE FUNCTION agentfleet_bucket_position(wanted uuid, room int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH RECURSIVE step AS MATERIALIZED (
        SELECT * FROM steps WHERE id = wanted
    ), me AS MATERIALIZED (
        SELECT s.pool, s.bucket, s.tenant_id, s.priority, s.ready_at, coalesce(t.weight, 1) AS weight
        FROM step s LEFT JOIN tenants t ON t.id = s.tenant_id WHERE s.state = 'waiting' AND s.bucket IS NOT NULL
    ), own AS MATERIALIZED (
        SELECT least(room, (
            SELECT count(*) FROM (SELECT FROM steps s WHERE s.state = 'waiting' AND s.bucket IS NOT NULL
                AND s.pool = me.pool AND s.bucket = me.bucket AND s.tenant_id = me.tenant_id
                AND s.priority > me.priority LIMIT room) AS p
        ) + (
            SELECT count(*) FROM (SELECT FROM steps s WHERE s.state = 'waiting' AND s.bucket IS NOT NULL
                AND s.pool = me.pool AND s.bucket = me.bucket AND s.tenant_id = me.tenant_id
                AND s.priority = me.priority AND s.ready_at < me.ready_at LIMIT room) AS e
        )) AS ahead FROM me
    ), tenant AS (
        (SELECT s.tenant_id FROM steps s WHERE s.state = 'waiting' AND s.bucket IS NOT NULL
            AND s.pool = (SELECT pool FROM me) AND s.bucket = (SELECT bucket FROM me) ORDER BY s.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.tenant_id FROM steps s WHERE s.state = 'waiting' AND s.bucket IS NOT NULL
                AND s.pool = (SELECT pool FROM me) AND s.bucket = (SELECT bucket FROM me)
                AND s.tenant_id > tenant.tenant_id ORDER BY s.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.tenant_id IS NOT NULL
    ), share AS (
        SELECT tenant.tenant_id, floor(own.ahead * coalesce(t.weight, 1) / me.weight)::bigint AS turns
        FROM me CROSS JOIN own CROSS JOIN tenant LEFT JOIN tenants t ON t.id = tenant.tenant_id
        WHERE tenant.tenant_id <> me.tenant_id
    ), others AS (
        SELECT count(*) AS ahead FROM (
            SELECT FROM share CROSS JOIN LATERAL (
                SELECT FROM steps s WHERE s.state = 'waiting' AND s.bucket IS NOT NULL
                    AND s.pool = (SELECT pool FROM me) AND s.bucket = (SELECT bucket FROM me)
                    AND s.tenant_id = share.tenant_id LIMIT share.turns
            ) AS t LIMIT room
        ) AS o
    )
    SELECT least(room, own.ahead + others.ahead + 1)::int FROM own, others
$$;

-- And for one whose message is under way: messages are taken in the order in which they were sent.
CREATE FUNCTION agentfleet_worker_position(wanted uuid, room int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH step AS MATERIALIZED (
        SELECT * FROM steps WHERE id = wanted
    )
    SELECT 1 + (SELECT count(*) FROM (
        SELECT FROM steps s WHERE s.state = 'dispatched' AND s.pool = me.pool AND s.dispatched_at < me.dispatched_at
        LIMIT room - 1) AS d)::int
    FROM step me WHERE me.state = 'dispatched'
$$;

-- Since when has this step waited, or been given up on? Since the first of the snoozes in a row, or its last failure.
CREATE FUNCTION agentfleet_waits_since(wanted uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce((SELECT min(a.finished_at) FROM attempts a
                     WHERE a.step_id = s.id AND a.fence > s.fence - greatest(s.snoozes, 1)), s.created_at)
    FROM steps s WHERE s.id = wanted
$$;

-- How fast is this pool of late: steps claimed per second? Step ids are UUIDv7: the end of attempts_pkey is recent.
CREATE FUNCTION agentfleet_pool_pace(wanted text) RETURNS float8
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT nullif(count(*), 0) / greatest(1, extract(epoch FROM agentfleet_now() - min(a.claimed_at)))::float8
    FROM (SELECT step_id, claimed_at FROM attempts ORDER BY step_id DESC LIMIT 500) AS a
    JOIN steps s ON s.id = a.step_id WHERE s.pool = wanted
$$;

-- How long do batches take of late, in seconds?
CREATE FUNCTION agentfleet_batch_time() RETURNS float8
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM b.ended_at - b.created_at))::float8
    FROM (SELECT ended_at, created_at FROM batches ORDER BY id DESC LIMIT 50) AS b
$$;

-- Put a run's first message right, for its tenant, while the model has said nothing: what it says is bound to all that
-- was said before. The ingress itself may not change messages. Tells whether it did.
CREATE FUNCTION agentfleet_edit_first_message(wanted uuid, content text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH edited AS (
        UPDATE messages m SET content = $2 FROM runs r
        WHERE r.id = wanted AND r.tenant_id = nullif(current_setting('agentfleet.tenant_id', true), '')
          AND m.run_id = wanted AND m.turn = 0 AND m.part = 0
          AND NOT EXISTS (SELECT FROM messages a WHERE a.run_id = wanted AND a.role = 'assistant')
        RETURNING true
    )
    SELECT EXISTS (SELECT FROM edited)
$$;

GRANT CREATE ON SCHEMA public TO agentfleet_fleet;
ALTER FUNCTION agentfleet_queue_position OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_bucket_position OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_worker_position OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_waits_since OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_pool_pace OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_batch_time OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_edit_first_message OWNER TO agentfleet_fleet;
REVOKE CREATE ON SCHEMA public FROM agentfleet_fleet;
REVOKE ALL ON FUNCTION agentfleet_queue_position, agentfleet_bucket_position, agentfleet_worker_position,
                       agentfleet_waits_since, agentfleet_pool_pace, agentfleet_batch_time,
                       agentfleet_edit_first_message FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agentfleet_queue_position, agentfleet_bucket_position, agentfleet_worker_position,
                          agentfleet_waits_since, agentfleet_pool_pace, agentfleet_batch_time,
                          agentfleet_edit_first_message TO agentfleet_app, agentfleet_fleet;
"""

CHARGE = """
-- Settle: release what steps held, and charge what they used (cancelled ones used nothing). Returns the budgets of which
-- four fifths are used, and nobody has been told. Budgets are locked in the order of their ids, as everywhere.
CREATE FUNCTION agentfleet_charge_budgets(cancelled uuid[], step_ids uuid[], steps integer[], tool_calls integer[],
                                          tokens bigint[], costs numeric[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH spent AS (
        SELECT * FROM unnest(step_ids, steps, tool_calls, tokens, costs) AS s(step_id, steps, tool_calls, tokens, cost_usd)
    ), released AS (
        DELETE FROM budget_holds h WHERE h.step_id = ANY(cancelled || step_ids) RETURNING h.*
    ), locked AS MATERIALIZED (
        SELECT b.id FROM budgets b WHERE b.id = ANY(ARRAY(SELECT DISTINCT r.budget_id FROM released r)) ORDER BY b.id
        FOR NO KEY UPDATE
    ), charged AS (
        UPDATE budgets b
        SET held_steps = b.held_steps - h.held_steps, held_tool_calls = b.held_tool_calls - h.held_tool_calls,
            held_tokens = b.held_tokens - h.held_tokens, held_cost_usd = b.held_cost_usd - h.held_cost_usd,
            used_steps = b.used_steps + h.steps, used_tool_calls = b.used_tool_calls + h.tool_calls,
            used_tokens = b.used_tokens + h.tokens, used_cost_usd = b.used_cost_usd + h.cost_usd
        FROM locked l JOIN (
            SELECT r.budget_id, sum(r.steps) AS held_steps, sum(r.tool_calls) AS held_tool_calls,
                   sum(r.tokens) AS held_tokens, sum(r.cost_usd) AS held_cost_usd, coalesce(sum(s.steps), 0) AS steps,
                   coalesce(sum(s.tool_calls), 0) AS tool_calls, coalesce(sum(s.tokens), 0) AS tokens,
                   coalesce(sum(s.cost_usd), 0) AS cost_usd
            FROM released r LEFT JOIN spent s ON s.step_id = r.step_id GROUP BY r.budget_id
        ) h ON h.budget_id = l.id
        WHERE b.id = ANY(ARRAY(SELECT l.id FROM locked l)) AND b.id = l.id
        RETURNING b.*
    )
    SELECT c.id FROM charged c
    WHERE c.alerted_at IS NULL
      AND (c.used_steps >= 0.8 * c.max_steps OR c.used_tool_calls >= 0.8 * c.max_tool_calls
           OR c.used_tokens >= 0.8 * c.max_tokens OR c.used_cost_usd >= 0.8 * c.max_cost_usd);
END
$$;
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON budgets, budget_holds, batches, batch_items, alerts TO agentfleet_fleet;
GRANT SELECT, INSERT, UPDATE ON budgets TO agentfleet_app;
GRANT SELECT, INSERT, DELETE ON budget_holds TO agentfleet_app;
GRANT SELECT ON batch_items TO agentfleet_app;
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
    USING (EXISTS (SELECT FROM budgets b WHERE b.id = budget_holds.budget_id OFFSET 0)) WITH CHECK (true);
ALTER TABLE batch_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE batch_items FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON batch_items TO agentfleet_fleet USING (true) WITH CHECK (true);
CREATE POLICY tenant ON batch_items TO agentfleet_app
    USING (EXISTS (SELECT FROM steps s WHERE s.id = batch_items.step_id)) WITH CHECK (true);
"""


def upgrade() -> None:
    for statement in (COLUMNS, TABLES, FUNCTIONS, CHARGE, GRANTS, POLICIES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION agentfleet_charge_budgets, agentfleet_queue_position, agentfleet_bucket_position, agentfleet_worker_position,
                      agentfleet_waits_since, agentfleet_pool_pace, agentfleet_batch_time,
                      agentfleet_edit_first_message;
        DROP TABLE alerts, batch_items, batches, budget_holds, budgets;
        ALTER TABLE steps DROP COLUMN blocked_on, DROP COLUMN bucket, DROP COLUMN input_estimate,
                          DROP COLUMN output_estimate;
        ALTER TABLE runs DROP COLUMN account, DROP COLUMN lane, DROP COLUMN budget, DROP COLUMN parent_run_id,
                         DROP COLUMN prompt_tokens, DROP COLUMN prompt_at;
        ALTER TABLE tenants DROP COLUMN weight, DROP COLUMN daily_budget;
        ALTER TABLE dead_letters DROP COLUMN fingerprint, DROP COLUMN resolution;
    """)
