-- Open the day of tenants that have a cap, and close what was said of earlier ones. Called by engine.budget for the first step
-- of a day. Indexes: tenants_pkey, alerts_one_open.
-- What this day had seen before the tenant had a cap is not in it: whoever gives it one in the middle of a day counts it.
WITH capped AS (
    SELECT t.id, t.daily_budget::json AS cap FROM tenants t
    WHERE t.id = ANY(%(tenant_id)s::text[]) AND t.daily_budget IS NOT NULL ORDER BY t.id
), over AS (
    UPDATE alerts a SET resolved_at = agentfleet_now(), send_at = agentfleet_now(), tries = 0
    FROM capped c WHERE a.kind = 'budget_80' AND a.resolved_at IS NULL AND starts_with(a.subject, 'tenant/' || c.id || '/')
)
INSERT INTO budgets (id, tenant_id, max_steps, max_tool_calls, max_tokens, max_cost_usd)
SELECT 'tenant/' || id || '/' || to_char(agentfleet_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), id,
       (cap ->> 'max_steps')::bigint, (cap ->> 'max_tool_calls')::bigint, (cap ->> 'max_tokens')::bigint,
       (cap ->> 'max_cost_usd')::numeric
FROM capped ON CONFLICT DO NOTHING
