-- Why it waits: of each run the open step that will move first. Called by store.waiting. Index: steps_run_id_key.
-- Zero rows for a run: it is over, or this tenant has none of that id, or its open steps are not among its newest 200.
SELECT s.run_id::text, s.state, s.kind, s.name, s.seq, s.pool, s.attempt, s.blocked_on, s.bucket, s.error, s.not_before,
       CASE s.state
           WHEN 'ready' THEN s.ready_at
           WHEN 'dispatched' THEN s.dispatched_at
           ELSE agentfleet_waits_since(s.id)
       END,
       s.id::text,
       agentfleet_now()
FROM unnest(%(run_id)s::uuid[]) AS r(id)
CROSS JOIN LATERAL (
    SELECT newest.* FROM (
        SELECT * FROM steps WHERE run_id = r.id AND tenant_id = %(tenant_id)s ORDER BY seq DESC LIMIT 200
    ) AS newest
    WHERE newest.state IN ('running', 'dispatched', 'ready', 'waiting', 'dead')
    ORDER BY array_position(ARRAY['running', 'dispatched', 'ready', 'waiting', 'dead'], newest.state),
             newest.not_before, newest.seq
    LIMIT 1
) AS s
