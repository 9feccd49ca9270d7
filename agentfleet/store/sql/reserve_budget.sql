-- Reserve: hold the worst case of steps that are about to call something, in every budget that they spend from: their
-- tenant's day, their run's and its parents'. All of them have room, or nothing is held. Called by engine.budget, before
-- the call; settle_steps and end_runs release. Indexes: steps_pkey, runs_pkey, tenants_pkey, budgets_pkey.
--
-- Locks steps, then budgets in id order, as everywhere. A step that does not come back was not ours any more. `full`: what
-- is used leaves no room for it. `busy`: it would fit if what is held were not; that comes back. `again`: it does not fit
-- beside those of this statement that came first. `closed`: the tenant's day has no row yet.
WITH RECURSIVE asked AS MATERIALIZED (
    SELECT * FROM unnest(%(step_id)s::uuid[], %(fence)s::int[], %(steps)s::int[], %(tool_calls)s::int[], %(tokens)s::bigint[],
                         %(cost_usd)s::numeric[]) WITH ORDINALITY AS a(step_id, fence, steps, tool_calls, tokens, cost_usd, ord)
), ours AS MATERIALIZED (
    SELECT s.id, s.run_id, s.tenant_id FROM steps s JOIN asked a ON a.step_id = s.id
    WHERE s.id = ANY(%(step_id)s::uuid[]) AND s.state = ANY(%(running)s) AND s.fence = a.fence ORDER BY s.id FOR KEY SHARE OF s
), chain(step_id, run_id) AS (
    SELECT id, run_id FROM ours
    UNION ALL
    SELECT c.step_id, r.parent_run_id FROM chain c CROSS JOIN LATERAL (  -- by index
        SELECT parent_run_id FROM runs WHERE id = c.run_id OFFSET 0
    ) r WHERE r.parent_run_id IS NOT NULL
), scopes AS MATERIALIZED (
    SELECT step_id, 'run/' || run_id::text AS budget_id FROM chain
    UNION ALL
    SELECT o.id, 'tenant/' || o.tenant_id || '/' || to_char(agentfleet_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')
    FROM ours o JOIN tenants t ON t.id = o.tenant_id WHERE t.daily_budget IS NOT NULL
), locked AS MATERIALIZED (
    SELECT b.* FROM budgets b WHERE b.id = ANY(ARRAY(SELECT DISTINCT budget_id FROM scopes)) ORDER BY b.id FOR NO KEY UPDATE
), wanted AS MATERIALIZED (
    -- What a try before this one has held, whose answer was lost, is held.
    SELECT a.*, l.id AS budget_id, l.run_id AS of_run,
           l.max_steps - l.used_steps AS free_steps, l.max_steps - l.used_steps - l.held_steps AS left_steps,
           l.max_tool_calls - l.used_tool_calls AS free_tool_calls, l.max_tool_calls - l.used_tool_calls - l.held_tool_calls AS left_tool_calls,
           l.max_tokens - l.used_tokens AS free_tokens, l.max_tokens - l.used_tokens - l.held_tokens AS left_tokens,
           l.max_cost_usd - l.used_cost_usd AS free_cost_usd, l.max_cost_usd - l.used_cost_usd - l.held_cost_usd AS left_cost_usd
    FROM scopes sc JOIN asked a ON a.step_id = sc.step_id JOIN locked l ON l.id = sc.budget_id
    WHERE NOT EXISTS (SELECT FROM budget_holds h WHERE h.budget_id = l.id AND h.step_id = a.step_id OFFSET 0)
), judged AS MATERIALIZED (
    -- What is not needed is not missing, however far a lowered ceiling was left behind.
    SELECT w.*,
           CASE WHEN steps > 0 AND steps > free_steps THEN 'max_steps'
                WHEN tool_calls > 0 AND tool_calls > free_tool_calls THEN 'max_tool_calls'
                WHEN tokens > 0 AND tokens > free_tokens THEN 'max_tokens'
                WHEN cost_usd > 0 AND cost_usd > free_cost_usd THEN 'max_cost_usd' END AS lacking,
           CASE WHEN steps > 0 AND steps > left_steps THEN 'max_steps'
                WHEN tool_calls > 0 AND tool_calls > left_tool_calls THEN 'max_tool_calls'
                WHEN tokens > 0 AND tokens > left_tokens THEN 'max_tokens'
                WHEN cost_usd > 0 AND cost_usd > left_cost_usd THEN 'max_cost_usd' END AS short
    FROM wanted w
), alone AS (
    SELECT step_id FROM judged GROUP BY step_id HAVING bool_and(short IS NULL)
), together AS (
    SELECT j.step_id, (j.steps = 0 OR coalesce(sum(j.steps) OVER b <= j.left_steps, true))
           AND (j.tool_calls = 0 OR coalesce(sum(j.tool_calls) OVER b <= j.left_tool_calls, true))
           AND (j.tokens = 0 OR coalesce(sum(j.tokens) OVER b <= j.left_tokens, true))
           AND (j.cost_usd = 0 OR coalesce(sum(j.cost_usd) OVER b <= j.left_cost_usd, true)) AS fits
    FROM judged j JOIN alone ON alone.step_id = j.step_id WINDOW b AS (PARTITION BY j.budget_id ORDER BY j.ord)
), crowded AS MATERIALIZED (
    SELECT step_id FROM together GROUP BY step_id HAVING NOT bool_and(fits)
), closed AS MATERIALIZED (
    SELECT step_id FROM scopes WHERE starts_with(budget_id, 'tenant/') AND budget_id NOT IN (SELECT id FROM locked)
), holds AS (
    INSERT INTO budget_holds (budget_id, step_id, steps, tool_calls, tokens, cost_usd)
    SELECT j.budget_id, j.step_id, j.steps, j.tool_calls, j.tokens, j.cost_usd
    FROM judged j JOIN alone ON alone.step_id = j.step_id
    WHERE j.step_id NOT IN (SELECT step_id FROM crowded) AND j.step_id NOT IN (SELECT step_id FROM closed)
    RETURNING *
), held AS (
    UPDATE budgets b
    SET held_steps = b.held_steps + h.steps,
        held_tool_calls = b.held_tool_calls + h.tool_calls,
        held_tokens = b.held_tokens + h.tokens,
        held_cost_usd = b.held_cost_usd + h.cost_usd
    FROM (SELECT budget_id, sum(steps) AS steps, sum(tool_calls) AS tool_calls, sum(tokens) AS tokens, sum(cost_usd) AS cost_usd FROM holds GROUP BY budget_id) h
    WHERE b.id = ANY(ARRAY(SELECT DISTINCT budget_id FROM holds)) AND b.id = h.budget_id
), rest AS (
    SELECT sc.step_id, min(l.max_steps - l.used_steps - l.held_steps) AS steps,
           min(l.max_tool_calls - l.used_tool_calls - l.held_tool_calls) AS tool_calls,
           min(l.max_tokens - l.used_tokens - l.held_tokens) AS tokens,
           min(l.max_cost_usd - l.used_cost_usd - l.held_cost_usd) AS cost_usd
    FROM scopes sc JOIN locked l ON l.id = sc.budget_id GROUP BY sc.step_id
)
SELECT o.id::text,
       CASE WHEN o.id IN (SELECT step_id FROM closed) THEN 'closed'
            WHEN r.lacking IS NOT NULL THEN 'full'
            WHEN r.short IS NOT NULL THEN 'busy'
            WHEN o.id IN (SELECT step_id FROM crowded) THEN 'again'
            ELSE 'held' END,
       r.budget_id, coalesce(r.lacking, r.short),
       extract(epoch FROM date_trunc('day', agentfleet_now() AT TIME ZONE 'UTC') + interval '1 day'
                          - agentfleet_now() AT TIME ZONE 'UTC')::float8,
       rest.steps, rest.tool_calls, rest.tokens, rest.cost_usd
FROM ours o
LEFT JOIN rest ON rest.step_id = o.id
LEFT JOIN LATERAL (
    -- The refusal that lasts longest: until somebody raises a run's budget, until the day is over, until a call is.
    SELECT j.budget_id, j.lacking, j.short FROM judged j WHERE j.step_id = o.id AND j.short IS NOT NULL
    ORDER BY j.lacking IS NULL, j.of_run IS NULL, j.budget_id LIMIT 1
) r ON true
