-- A tenant's cap, and what its day has used and holds. Called by store.budgets for the API. Indexes: tenants_pkey,
-- budgets_pkey. Zero rows: it has no cap.
SELECT t.daily_budget, to_char(agentfleet_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
       coalesce(b.used_steps, 0), coalesce(b.used_tool_calls, 0), coalesce(b.used_tokens, 0), coalesce(b.used_cost_usd, 0),
       coalesce(b.held_steps, 0), coalesce(b.held_tool_calls, 0), coalesce(b.held_tokens, 0), coalesce(b.held_cost_usd, 0)
FROM tenants t
LEFT JOIN budgets b ON b.id = 'tenant/' || t.id || '/' || to_char(agentfleet_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')
WHERE t.id = %(tenant_id)s::text AND t.daily_budget IS NOT NULL
