-- Promote: waiting steps that are due become ready. Called by engine.promote. Index: steps_due.
-- Runs before steps, as everywhere; a run that is locked right now is promoted at the next tick.
WITH due AS (
    SELECT id, run_id FROM steps WHERE state = 'waiting' AND not_before <= agentfleet_now()
      -- Who waits for the provider is admitted by the dispatcher, in fair order; this is the backstop.
      AND (bucket IS NULL OR not_before <= agentfleet_now() - make_interval(secs => %(admission_slack)s::float8))
    ORDER BY not_before LIMIT %(limit)s
), locked AS MATERIALIZED (
    SELECT r.id FROM runs r WHERE r.id = ANY(ARRAY(SELECT run_id FROM due)) ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
), promoted AS (
    UPDATE steps s SET state = 'ready', not_before = NULL, blocked_on = NULL, bucket = NULL, ready_at = agentfleet_now()
    FROM due JOIN locked ON locked.id = due.run_id
    WHERE s.id = ANY(ARRAY(SELECT id FROM due)) AND s.id = due.id AND s.state = ANY(%(promotable)s)
    RETURNING s.id, s.run_id, s.pool
), unblocked AS (
    UPDATE runs r
    SET version = r.version + 1, waiting_steps = r.waiting_steps - p.n,
        state = CASE WHEN r.state = 'waiting' THEN 'running' ELSE r.state END, blocked_on = NULL
    FROM (SELECT run_id, count(*) AS n FROM promoted GROUP BY run_id) AS p
    WHERE r.id = p.run_id AND r.id = ANY(ARRAY(SELECT run_id FROM due))
)
SELECT pool, count(*)::int FROM promoted GROUP BY pool
