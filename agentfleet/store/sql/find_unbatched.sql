-- Who waits for a batch and is in none, soonest due first, with all that the request is made of. Called by engine.send.
-- Indexes: steps_blocked, batch_items_pkey, runs_pkey. As many as `max_bytes` of text have room for, but one at least.
WITH waiting AS MATERIALIZED (
    SELECT s.id, s.run_id, s.name, s.input, s.not_before FROM steps s
    WHERE s.state = 'waiting' AND s.blocked_on = 'batch'
      AND (SELECT i.state FROM batch_items i WHERE i.step_id = s.id) = 'waiting'
    ORDER BY s.not_before LIMIT %(limit)s
), said AS MATERIALIZED (
    SELECT w.id, w.run_id, w.name, w.input, r.tenant_id, r.bundle_id, r.account, r.deadline_at, r.created_at,
           r.prompt_tokens, r.prompt_at, m.turns, m.parts, m.roles, m.contents,
           row_number() OVER nearest AS nth,
           sum(m.size + (SELECT octet_length(b.spec) FROM bundles b WHERE b.id = r.bundle_id)) OVER nearest AS size
    FROM waiting w JOIN runs r ON r.id = w.run_id AND r.id = ANY(ARRAY(SELECT run_id FROM waiting))
    CROSS JOIN LATERAL (
        SELECT array_agg(turn ORDER BY turn, part) AS turns, array_agg(part ORDER BY turn, part) AS parts,
               array_agg(role ORDER BY turn, part) AS roles, array_agg(content ORDER BY turn, part) AS contents,
               sum(octet_length(content)) AS size
        FROM messages WHERE run_id = w.run_id
    ) m
    WINDOW nearest AS (ORDER BY w.not_before, w.id ROWS UNBOUNDED PRECEDING)
)
SELECT id::text, run_id::text, tenant_id, bundle_id, account, name, input,
       extract(epoch FROM deadline_at - agentfleet_now())::float8, extract(epoch FROM deadline_at - created_at)::float8,
       prompt_tokens, extract(epoch FROM agentfleet_now() - prompt_at)::float8, turns, parts, roles, contents
FROM said WHERE size <= %(max_bytes)s OR nth = 1 ORDER BY nth
