-- Give a run a row of its own in budgets, because it gets a child: from now on they spend from it together.
-- Called by store.budgets after lock_runs, so that no settle is counted in part. Indexes: runs_pkey, steps_run_id_key.
-- Its steps that run now are held without their worst case, so that they count when they settle.
WITH running AS MATERIALIZED (
    SELECT s.id, s.run_id, (s.kind = 'tool')::int AS call FROM steps s
    WHERE s.run_id = ANY(%(run_id)s::uuid[]) AND s.state = ANY(%(running)s)
), opened AS (
    INSERT INTO budgets (id, tenant_id, run_id, max_steps, max_tool_calls, max_tokens, max_cost_usd,
                         used_steps, used_tool_calls, used_tokens, used_cost_usd, held_steps, held_tool_calls)
    SELECT 'run/' || r.id::text, r.tenant_id, r.id,
           %(max_steps)s::bigint, %(max_tool_calls)s::bigint, %(max_tokens)s::bigint, %(max_cost_usd)s::numeric,
           r.steps_total - r.open_steps, r.tool_calls, r.input_tokens + r.output_tokens + r.cache_write_tokens, r.cost_usd,
           (SELECT count(*) FROM running), (SELECT coalesce(sum(call), 0) FROM running)
    FROM runs r WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.finished_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING id, run_id
), holds AS (
    INSERT INTO budget_holds (budget_id, step_id, steps, tool_calls, tokens, cost_usd)
    SELECT o.id, s.id, 1, s.call, 0, 0 FROM opened o JOIN running s ON s.run_id = o.run_id
)
SELECT id FROM opened
