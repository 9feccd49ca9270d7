-- Give a tenant a cap for the day and a weight, from now on. Called by store.tenants for people. Indexes: budgets_pkey,
-- steps_blocked.
-- What the day has seen before it had a cap is counted once, here; what waits for a budget is looked at again at once.
WITH day AS (
    SELECT date_trunc('day', agentfleet_now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS start,
           'tenant/' || %(tenant_id)s::text || '/' || to_char(agentfleet_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS id
), tenant AS (
    INSERT INTO tenants (id, daily_budget, weight) VALUES (%(tenant_id)s, %(daily_budget)s::text, %(weight)s::numeric)
    ON CONFLICT (id) DO UPDATE SET daily_budget = excluded.daily_budget, weight = excluded.weight
), spent AS (
    SELECT count(*) FILTER (WHERE a.outcome = 'succeed') AS steps,
           count(*) FILTER (WHERE a.outcome = 'succeed' AND s.kind = 'tool') AS tool_calls,
           coalesce(sum(coalesce((a.usage::json ->> 'input_tokens')::bigint, 0)
                        + coalesce((a.usage::json ->> 'output_tokens')::bigint, 0)
                        + coalesce((a.usage::json ->> 'cache_creation_input_tokens')::bigint, 0)), 0) AS tokens,
           coalesce(sum(a.cost_usd), 0) AS cost_usd
    FROM day, runs r JOIN steps s ON s.run_id = r.id JOIN attempts a ON a.step_id = s.id
    WHERE r.tenant_id = %(tenant_id)s AND (r.finished_at IS NULL OR r.finished_at >= day.start) AND a.finished_at >= day.start
), opened AS (
    INSERT INTO budgets (id, tenant_id, max_steps, max_tool_calls, max_tokens, max_cost_usd,
                         used_steps, used_tool_calls, used_tokens, used_cost_usd)
    SELECT day.id, %(tenant_id)s, %(max_steps)s::bigint, %(max_tool_calls)s::bigint, %(max_tokens)s::bigint,
           %(max_cost_usd)s::numeric, spent.steps, spent.tool_calls, spent.tokens, spent.cost_usd
    FROM day, spent WHERE %(daily_budget)s::text IS NOT NULL
    ON CONFLICT (id) DO UPDATE
    SET max_steps = excluded.max_steps, max_tool_calls = excluded.max_tool_calls, max_tokens = excluded.max_tokens,
        max_cost_usd = excluded.max_cost_usd, alerted_at = NULL,
        used_steps = greatest(budgets.used_steps, excluded.used_steps),
        used_tool_calls = greatest(budgets.used_tool_calls, excluded.used_tool_calls),
        used_tokens = greatest(budgets.used_tokens, excluded.used_tokens),
        used_cost_usd = greatest(budgets.used_cost_usd, excluded.used_cost_usd)
), over AS (
    -- What was said of an earlier day, or of a smaller cap, is over.
    UPDATE alerts a SET resolved_at = agentfleet_now(), send_at = agentfleet_now(), tries = 0
    FROM day WHERE a.kind = 'budget_80' AND a.resolved_at IS NULL AND starts_with(a.subject, 'tenant/' || %(tenant_id)s::text || '/')
)
UPDATE steps s SET not_before = agentfleet_now()
WHERE s.tenant_id = %(tenant_id)s AND s.state = 'waiting' AND s.blocked_on = 'budget'
