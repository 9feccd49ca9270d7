-- Change the ceilings of a run and make what waits for a budget due, in it and in its children. Called by engine.budget
-- after lock_runs. Indexes: runs_pkey, runs_children, budgets_pkey, steps_blocked.
-- Zero rows: it has ended, or somebody has changed it since `version`.
WITH RECURSIVE changed AS (
    UPDATE runs r SET budget = %(budget)s, version = r.version + 1, event_seq = r.event_seq + 1
    WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.finished_at IS NULL AND (%(version)s::int IS NULL OR r.version = %(version)s::int)
    RETURNING r.id, r.event_seq
), events AS (
    INSERT INTO run_events (run_id, seq, type, data) SELECT id, event_seq, 'run.budget_changed', %(data)s FROM changed
), tree(id) AS (
    SELECT id FROM changed
    UNION ALL
    SELECT r.id FROM tree t CROSS JOIN LATERAL (SELECT id FROM runs WHERE parent_run_id = t.id OFFSET 0) r  -- by index
), caps AS (
    UPDATE budgets b
    SET max_steps = %(max_steps)s::bigint, max_tool_calls = %(max_tool_calls)s::bigint, max_tokens = %(max_tokens)s::bigint,
        max_cost_usd = %(max_cost_usd)s::numeric, alerted_at = NULL
    WHERE b.id = ANY(ARRAY(SELECT 'run/' || id::text FROM changed))
), due AS (
    UPDATE steps s SET not_before = agentfleet_now()
    WHERE s.run_id = ANY(ARRAY(SELECT id FROM tree)) AND s.state = 'waiting' AND s.blocked_on = 'budget'
)
SELECT id::text FROM changed
