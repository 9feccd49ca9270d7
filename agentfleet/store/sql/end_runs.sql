-- Cancel, expire, or fail runs from outside: the run, its open steps and its open dead letters in one transaction. Its
-- children and theirs, if it has any, are cancelled with it.
-- Called by engine.cancel, after lock_trees, so that no step escapes which a settle has just created. A running step
-- loses its lease here, so its worker's settle matches nothing.
-- Indexes: runs_pkey, runs_children, steps_run_id_key, steps_pkey, dead_letters_one_open_per_step,
-- budget_holds_step_id, budgets_pkey.
-- Zero rows for a run: it had already ended. One row per running step (step_id NULL when there is none).
WITH RECURSIVE ended AS MATERIALIZED (
    SELECT r.id, r.agent, r.event_seq FROM runs r
    WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.state = ANY(%(endable)s)
), tree(id, agent, event_seq, state) AS (
    SELECT id, agent, event_seq, NULL FROM ended
    UNION ALL
    SELECT r.* FROM tree t CROSS JOIN LATERAL (  -- by index
        SELECT id, agent, event_seq, state FROM runs WHERE parent_run_id = t.id OFFSET 0
    ) r
), locked AS MATERIALIZED (
    SELECT id, agent, event_seq, %(state)s AS state, %(data)s AS data, %(error)s AS error FROM ended
    UNION ALL
    SELECT DISTINCT ON (t.id) t.id, t.agent, t.event_seq, 'cancelled', %(child_error)s, %(child_error)s FROM tree t
    WHERE t.state = ANY(%(cancellable_runs)s) AND t.id NOT IN (SELECT id FROM ended)
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
), released AS (
    DELETE FROM budget_holds h WHERE h.step_id = ANY(ARRAY(SELECT id FROM cancelled WHERE was = 'running')) RETURNING h.*
), caps AS MATERIALIZED (
    SELECT b.id FROM budgets b WHERE b.id = ANY(ARRAY(SELECT DISTINCT budget_id FROM released)) ORDER BY b.id FOR NO KEY UPDATE
), freed AS (
    UPDATE budgets b
    SET held_steps = b.held_steps - h.steps, held_tool_calls = b.held_tool_calls - h.tool_calls,
        held_tokens = b.held_tokens - h.tokens, held_cost_usd = b.held_cost_usd - h.cost_usd
    FROM caps c JOIN (
        SELECT budget_id, sum(steps) AS steps, sum(tool_calls) AS tool_calls, sum(tokens) AS tokens, sum(cost_usd) AS cost_usd
        FROM released GROUP BY budget_id
    ) h ON h.budget_id = c.id
    WHERE b.id = ANY(ARRAY(SELECT id FROM caps)) AND b.id = c.id
), letters AS (
    UPDATE dead_letters d SET state = 'discarded', resolved_at = agentfleet_now()
    WHERE d.step_id = ANY(ARRAY(SELECT id FROM cancelled)) AND d.state = 'open'
), events AS (
    INSERT INTO run_events (run_id, seq, type, data)
    SELECT id, event_seq + 1, 'run.' || state, data FROM locked
), run_rows AS (
    UPDATE runs r
    SET state = l.state, blocked_on = NULL, open_steps = 0, waiting_steps = 0, error = l.error,
        version = r.version + 1, event_seq = r.event_seq + 1, finished_at = agentfleet_now()
    FROM locked l WHERE r.id = l.id AND r.id = ANY(ARRAY(SELECT id FROM locked))
)
SELECT l.id::text, l.agent, l.state, c.id::text FROM locked l LEFT JOIN cancelled c ON c.run_id = l.id AND c.was = 'running'
