-- Claim: dispatched -> running, raising the fence. Called by engine.claim. Index: steps_pkey.
-- Zero rows for a step: the message was stale, duplicated or forged; it is acknowledged as a no-op.
WITH free AS (
    -- SKIP LOCKED: whoever holds the row (another claim, a cancel) has already decided; waiting could only deadlock.
    SELECT id FROM steps WHERE id = ANY(%(step_id)s::uuid[]) AND state = ANY(%(claimable)s) FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE steps s
    SET state = 'running', fence = s.fence + 1, attempt = s.attempt + 1, worker = %(worker)s,
        claimed_at = agentfleet_now(), lease_until = agentfleet_now() + make_interval(secs => %(lease)s)
    FROM free WHERE s.id = free.id
    RETURNING s.*
), startable AS (
    SELECT r.id FROM runs r
    WHERE r.id = ANY(ARRAY(SELECT run_id FROM claimed)) AND r.state = 'queued' FOR NO KEY UPDATE SKIP LOCKED
), started AS (
    UPDATE runs r SET state = 'running', started_at = agentfleet_now(), version = r.version + 1
    FROM startable WHERE r.id = startable.id
)
SELECT s.id::text, s.run_id::text, s.tenant_id, s.agent, r.bundle_id, s.pool, s.seq, s.kind, s.name, s.turn, s.part,
       s.input, s.effect, s.fence, s.attempt, s.crashes, s.snoozes,
       extract(epoch FROM s.claimed_at - s.ready_at)::float8, extract(epoch FROM s.claimed_at - r.created_at)::float8,
       r.deadline_at, r.traceparent, r.metadata,
       r.steps_total, r.tool_calls, r.input_tokens, r.output_tokens, r.cache_read_tokens, r.cache_write_tokens, r.cost_usd,
       s.priority, r.account, r.lane, r.budget, r.parent_run_id::text, r.prompt_tokens,
       extract(epoch FROM s.claimed_at - r.prompt_at)::float8,
       -- Whether others spend from a budget of this step, too; then reserve_budget asks for room in all of them.
       r.parent_run_id IS NOT NULL OR EXISTS (SELECT FROM tenants t WHERE t.id = s.tenant_id AND t.daily_budget IS NOT NULL)
           OR EXISTS (SELECT FROM budgets b WHERE b.id = 'run/' || r.id::text),
       m.turns, m.parts, m.roles, m.contents
FROM claimed s
JOIN runs r ON r.id = s.run_id
LEFT JOIN LATERAL (
    SELECT array_agg(turn ORDER BY turn, part) AS turns, array_agg(part ORDER BY turn, part) AS parts,
           array_agg(role ORDER BY turn, part) AS roles, array_agg(content ORDER BY turn, part) AS contents
    FROM messages WHERE run_id = s.run_id
) m ON s.kind = 'reason'
