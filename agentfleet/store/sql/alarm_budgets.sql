-- Tell people that four fifths of these budgets are used, once each. Called by engine.settle when a settlement says so; if
-- it dies before, the next settlement says so again. Index: budgets_pkey.
WITH alarmed AS (
    UPDATE budgets b SET alerted_at = agentfleet_now() WHERE b.id = ANY(%(id)s::text[]) AND b.alerted_at IS NULL RETURNING b.*
), told AS (
    INSERT INTO alerts (id, kind, subject, message, data)
    SELECT gen_random_uuid(), 'budget_80', a.id,
           'Four fifths of ' || CASE WHEN a.run_id IS NULL THEN 'the day''s budget of tenant ' || a.tenant_id
                                     ELSE 'the budget of run ' || a.run_id::text END
           || ' are used; at the ceiling its steps wait. To let them go on, raise it: '
           || CASE WHEN a.run_id IS NULL THEN '`agentfleet tenants set`.' ELSE '`agentfleet budgets set`.' END,
           json_build_object('tenant_id', a.tenant_id, 'run_id', a.run_id, 'used_cost_usd', a.used_cost_usd::text,
                             'max_cost_usd', a.max_cost_usd::text, 'used_tokens', a.used_tokens, 'max_tokens', a.max_tokens,
                             'used_steps', a.used_steps, 'max_steps', a.max_steps,
                             'used_tool_calls', a.used_tool_calls, 'max_tool_calls', a.max_tool_calls)::text
    FROM alarmed a ORDER BY a.id
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL
    DO UPDATE SET seen = alerts.seen + 1, last_seen_at = agentfleet_now(), message = excluded.message, data = excluded.data
)
SELECT id, run_id IS NULL FROM alarmed
