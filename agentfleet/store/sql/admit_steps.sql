-- Admit: waiting -> dispatched, for whom the provider has room now. Called by engine.admit. Indexes: runs_pkey, steps_pkey.
-- Runs before steps, as everywhere. A step that does not come back is not admitted: it was cancelled, its run is paused
-- or held by somebody at this moment.
WITH wanted AS (
    SELECT id, run_id FROM steps WHERE id = ANY(%(step_id)s::uuid[]) AND state = 'waiting' AND bucket IS NOT NULL
), locked AS MATERIALIZED (
    SELECT r.id, r.traceparent FROM runs r
    WHERE r.id = ANY(ARRAY(SELECT run_id FROM wanted)) AND r.state <> 'paused' ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
), admitted AS (
    UPDATE steps s
    SET state = 'dispatched', not_before = NULL, blocked_on = NULL, bucket = NULL, ready_at = agentfleet_now(),
        dispatched_at = agentfleet_now()
    FROM locked l
    WHERE s.id = ANY(%(step_id)s::uuid[]) AND s.run_id = l.id AND s.state = ANY(%(admittable)s) AND s.bucket IS NOT NULL
    RETURNING s.id, s.run_id, s.pool, s.agent, s.kind, s.name, s.seq, s.attempt, l.traceparent
), unblocked AS (
    UPDATE runs r
    SET version = r.version + 1, waiting_steps = r.waiting_steps - a.n,
        state = CASE WHEN r.state = 'waiting' THEN 'running' ELSE r.state END, blocked_on = NULL
    FROM (SELECT run_id, count(*) AS n FROM admitted GROUP BY run_id) AS a
    WHERE r.id = a.run_id AND r.id = ANY(ARRAY(SELECT run_id FROM admitted))
)
SELECT id::text, run_id::text, pool, agent, kind, name, seq, attempt + 1, traceparent FROM admitted
