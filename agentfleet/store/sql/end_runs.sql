-- Cancel, expire, or fail runs from outside: the run, its open steps and its open dead letters in one transaction.
-- Called by engine.cancel, after lock_runs, so that no step escapes which a settle has just created. A running step
-- loses its lease here, so its worker's settle matches nothing.
-- Indexes: runs_pkey, steps_run_id_key, steps_pkey, dead_letters_one_open_per_step.
-- Zero rows for a run: it had already ended. One row per running step (step_id NULL when there is none).
WITH locked AS MATERIALIZED (
    SELECT r.id, r.agent, r.event_seq FROM runs r
    WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.state = ANY(%(endable)s)
), open_step AS MATERIALIZED (
    SELECT s.id, s.run_id, s.state FROM steps s
    WHERE s.run_id = ANY(ARRAY(SELECT id FROM locked)) AND s.state = ANY(%(cancellable)s) ORDER BY s.id FOR UPDATE
), cancelled AS (
    UPDATE steps s SET state = 'cancelled', lease_until = NULL, not_before = NULL, finished_at = agentfleet_now()
    FROM open_step o WHERE s.id = o.id
    RETURNING s.id, s.run_id, s.fence, s.attempt, s.worker, s.dispatched_at, s.claimed_at, o.state AS was
), attempt_rows AS (
    INSERT INTO attempts (step_id, fence, attempt, outcome, worker, dispatched_at, claimed_at, finished_at)
    SELECT id, fence, attempt, 'cancel', worker, dispatched_at, claimed_at, agentfleet_now() FROM cancelled WHERE was = 'running'
), letters AS (
    UPDATE dead_letters d SET state = 'discarded', resolved_at = agentfleet_now()
    WHERE d.step_id = ANY(ARRAY(SELECT id FROM cancelled)) AND d.state = 'open'
), events AS (
    INSERT INTO run_events (run_id, seq, type, data)
    SELECT id, event_seq + 1, 'run.' || %(state)s, %(data)s FROM locked
), ended AS (
    UPDATE runs r
    SET state = %(state)s, blocked_on = NULL, open_steps = 0, waiting_steps = 0, error = %(error)s,
        version = r.version + 1, event_seq = r.event_seq + 1, finished_at = agentfleet_now()
    FROM locked l WHERE r.id = l.id AND r.id = ANY(%(run_id)s::uuid[])
)
SELECT l.id::text, l.agent, c.id::text FROM locked l LEFT JOIN cancelled c ON c.run_id = l.id AND c.was = 'running'
