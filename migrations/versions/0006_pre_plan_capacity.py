"""Plan capacity: what is expected, what each pool did, and how the autoscaler decided.

Revision: 0006
Revises: 0005

pre: runs before the code that needs it. Code of before sees none of it.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = """
CREATE TABLE pool_loads (
    pool TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    arrivals BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    rate FLOAT NOT NULL,
    step_seconds FLOAT,
    provider_slots FLOAT,
    CONSTRAINT pool_loads_pkey PRIMARY KEY (pool, at)
);

CREATE TABLE scale_decisions (
    pool TEXT NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
    decision TEXT NOT NULL,
    state TEXT NOT NULL,
    CONSTRAINT scale_decisions_pkey PRIMARY KEY (pool)
);

CREATE TABLE expectations (
    id UUID NOT NULL,
    pool TEXT,
    at TIMESTAMP WITH TIME ZONE,
    cron TEXT,
    tz TEXT DEFAULT 'UTC' NOT NULL,
    seconds FLOAT NOT NULL,
    factor FLOAT NOT NULL,
    note TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT agentfleet_now() NOT NULL,
    CONSTRAINT expectations_pkey PRIMARY KEY (id),
    CONSTRAINT expectations_once_or_again CHECK ((at IS NULL) <> (cron IS NULL)),
    CONSTRAINT expectations_positive CHECK (seconds > 0 AND factor > 0)
);
"""

DEMAND = """
-- What the autoscaler's fallback may see: a number per pool, and nothing of what the steps are about.
CREATE VIEW agentfleet_demand AS
SELECT pool, sum(steps)::bigint AS steps FROM (
    SELECT pool, count(*) AS steps FROM steps WHERE state = 'ready' GROUP BY pool
    UNION ALL
    SELECT pool, count(*) FROM steps WHERE state = 'dispatched' GROUP BY pool
    UNION ALL
    SELECT pool, count(*) FROM steps WHERE state = 'running' GROUP BY pool
    UNION ALL
    SELECT pool, count(*) FROM steps WHERE state = 'waiting' AND bucket IS NULL AND not_before <= agentfleet_now()
    GROUP BY pool
) AS open GROUP BY pool;

-- The same in its parts, for the ingress, which sees no tenant's steps: who waits for a slot, who holds one, who is due,
-- who waits for the provider, and since when the oldest could have begun. More than `room` of a kind change nothing.
CREATE FUNCTION agentfleet_pool_load(wanted text, room int, OUT ready int, OUT running int, OUT due int, OUT queued int,
                                     OUT oldest float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH r AS (
        SELECT count(*) AS n, min(ready_at) AS since
        FROM (SELECT ready_at FROM steps WHERE state = 'ready' AND pool = wanted LIMIT room) AS s
    ), d AS (
        SELECT count(*) AS n, min(ready_at) AS since
        FROM (SELECT ready_at FROM steps WHERE state = 'dispatched' AND pool = wanted LIMIT room) AS s
    )
    SELECT (r.n + d.n)::int,
        (SELECT count(*) FROM steps WHERE state = 'running' AND pool = wanted)::int,
        (SELECT count(*) FROM (SELECT FROM steps WHERE state = 'waiting' AND bucket IS NULL AND pool = wanted
                               AND not_before <= agentfleet_now() LIMIT room) AS s)::int,
        (SELECT count(*) FROM (SELECT FROM steps WHERE state = 'waiting' AND bucket IS NOT NULL AND pool = wanted
                               LIMIT room) AS s)::int,
        greatest(extract(epoch FROM agentfleet_now() - least(r.since, d.since)), 0)::float8
    FROM r, d
$$;

GRANT CREATE ON SCHEMA public TO agentfleet_fleet;
ALTER VIEW agentfleet_demand OWNER TO agentfleet_fleet;
ALTER FUNCTION agentfleet_pool_load OWNER TO agentfleet_fleet;
REVOKE CREATE ON SCHEMA public FROM agentfleet_fleet;
REVOKE ALL ON FUNCTION agentfleet_pool_load FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agentfleet_pool_load TO agentfleet_app, agentfleet_fleet;
"""

SCALER = """
-- Who asks for the demand past the API (KEDA's SQL trigger): a login of yours gets this role, and sees the view alone.
-- Roles belong to the cluster, so another database's migration may be creating it at this moment. Who may not create
-- roles goes without this one, which only that trigger needs.
DO $$
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'agentfleet_scaler') THEN
            CREATE ROLE agentfleet_scaler NOLOGIN;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'there is no role agentfleet_scaler, and this user may not create it: see docs/guides/autoscaling.md';
    END;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'agentfleet_scaler') THEN
        GRANT SELECT ON agentfleet_demand TO agentfleet_scaler;
    END IF;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON pool_loads, scale_decisions, expectations TO agentfleet_fleet;
GRANT SELECT ON pool_loads TO agentfleet_app;
GRANT SELECT, INSERT, UPDATE ON scale_decisions TO agentfleet_app;
GRANT SELECT, INSERT, DELETE ON expectations TO agentfleet_app;
"""


def upgrade() -> None:
    for statement in (TABLES, DEMAND, SCALER):
        op.execute(statement)


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION agentfleet_pool_load;
        DROP VIEW agentfleet_demand;
        DROP TABLE expectations, scale_decisions, pool_loads;
    """)
