-- Open the day of tenants that have a cap. Called by engine.budget for the first step of a day. Index: tenants_pkey.
-- What this day had seen before the tenant had a cap is not in it: whoever gives it one in the middle of a day counts it.
INSERT INTO budgets (id, tenant_id, max_steps, max_tool_calls, max_tokens, max_cost_usd)
SELECT 'tenant/' || t.id || '/' || to_char(agentfleet_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), t.id,
       (t.daily_budget::json ->> 'max_steps')::bigint, (t.daily_budget::json ->> 'max_tool_calls')::bigint,
       (t.daily_budget::json ->> 'max_tokens')::bigint, (t.daily_budget::json ->> 'max_cost_usd')::numeric
FROM tenants t WHERE t.id = ANY(%(tenant_id)s::text[]) AND t.daily_budget IS NOT NULL ORDER BY t.id
ON CONFLICT DO NOTHING
