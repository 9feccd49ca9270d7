-- Replay: a dead step becomes ready with fresh attempts; its run goes on where it stopped. Called by engine.replay.
-- Indexes: runs_pkey, steps_pkey, steps_run_id_key, dead_letters_pkey.
-- After lock_reviews, so that it knows of every dead letter. Zero rows for one: it is not open, or its run has ended.
WITH locked AS MATERIALIZED (
    SELECT r.id, r.event_seq FROM runs r
    WHERE r.id = ANY(ARRAY(SELECT run_id FROM dead_letters WHERE id = ANY(%(dead_letter_id)s::uuid[])))
      AND r.state = ANY(%(replayable_runs)s)
), letter AS (
    UPDATE dead_letters d SET state = 'replayed', resolved_at = agentfleet_now()
    FROM locked l WHERE d.id = ANY(%(dead_letter_id)s::uuid[]) AND d.run_id = l.id AND d.state = 'open'
    RETURNING d.id, d.step_id, d.run_id
), revived AS (
    UPDATE steps s
    SET state = 'ready', attempt = 0, crashes = 0, snoozes = 0, ready_at = agentfleet_now(), finished_at = NULL, error = NULL
    FROM letter WHERE s.id = letter.step_id AND s.state = ANY(%(replayable)s)
    RETURNING s.id, s.run_id, s.pool
), tally AS (
    SELECT r.run_id, count(*)::int AS n FROM revived r GROUP BY r.run_id
), events AS (
    INSERT INTO run_events (run_id, seq, type, data)
    SELECT v.run_id, l.event_seq + row_number() OVER (PARTITION BY v.run_id ORDER BY v.id), 'step.replayed',
           '{"step_id":"' || v.id::text || '"}'
    FROM revived v JOIN locked l ON l.id = v.run_id
), resumed AS (
    UPDATE runs r
    SET version = r.version + 1, event_seq = r.event_seq + t.n, error = NULL,
        state = CASE WHEN EXISTS (
            SELECT FROM steps s WHERE s.run_id = r.id AND s.state = 'dead' AND s.id NOT IN (SELECT id FROM revived)
        ) THEN 'needs_review' ELSE 'running' END
    FROM tally t WHERE r.id = t.run_id AND r.id = ANY(ARRAY(SELECT run_id FROM tally))
)
SELECT letter.id::text, v.id::text, v.run_id::text, v.pool FROM letter JOIN revived v ON v.id = letter.step_id
