-- Accept runs: run, input message, first event and first step in one transaction. Called by engine.submit.
-- Zero rows for a run: its request key was taken before; the caller reads the earlier run. Or its parent has ended.
-- The first step is born dispatched when its pool has no backlog (the fast path), else ready.
WITH parents AS MATERIALIZED (
    -- Shared: whoever ends a run waits, and then finds all its children.
    SELECT id FROM runs WHERE id = ANY(%(parent_run_id)s::uuid[]) AND finished_at IS NULL ORDER BY id FOR SHARE
), incoming AS (
    SELECT * FROM unnest(
        %(run_id)s::uuid[], %(agent)s::text[], %(bundle_id)s::text[], %(pool)s::text[], %(priority)s::int[],
        %(input)s::text[], %(content)s::text[], %(metadata)s::text[], %(traceparent)s::text[], %(deadline)s::float8[],
        %(key)s::text[], %(fingerprint)s::bytea[], %(lane)s::text[], %(step_id)s::uuid[], %(step_name)s::text[], %(step_input)s::text[],
        %(parent_run_id)s::uuid[]
    ) AS i(run_id, agent, bundle_id, pool, priority, input, content, metadata, traceparent, deadline,
           key, fingerprint, lane, step_id, step_name, step_input, parent_run_id)
    WHERE parent_run_id IS NULL OR parent_run_id IN (SELECT id FROM parents)
), keyed AS (
    -- Waits for a concurrent transaction with the same key, so two answers for one key cannot both be accepted; in one
    -- order, so that two batches with the same keys cannot wait for each other.
    INSERT INTO request_keys (tenant_id, key, fingerprint, run_id)
    SELECT %(tenant_id)s, key, fingerprint, run_id FROM incoming WHERE key IS NOT NULL ORDER BY key
    ON CONFLICT DO NOTHING
    RETURNING run_id
), accepted AS (
    SELECT * FROM incoming WHERE key IS NULL OR run_id IN (SELECT run_id FROM keyed)
), gate AS MATERIALIZED (  -- asked once per pool, not once per row
    SELECT pool, agentfleet_pool_open(pool, %(window)s) AS open FROM (SELECT DISTINCT pool FROM accepted) AS p
), new_runs AS (
    INSERT INTO runs (id, tenant_id, agent, bundle_id, pool, priority, state, input, metadata, traceparent,
                      event_seq, steps_total, open_steps, created_at, deadline_at, lane, parent_run_id)
    SELECT run_id, %(tenant_id)s, agent, bundle_id, pool, priority, 'queued', input, metadata, traceparent,
           1, 1, 1, agentfleet_now(), agentfleet_now() + make_interval(secs => deadline), lane, parent_run_id
    FROM accepted
), new_messages AS (
    INSERT INTO messages (run_id, turn, part, role, content) SELECT run_id, 0, 0, 'user', content FROM accepted
), new_events AS (
    INSERT INTO run_events (run_id, seq, type, data) SELECT run_id, 1, 'run.queued', '{}' FROM accepted
)
INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state, priority, ready_at, dispatched_at)
SELECT a.step_id, a.run_id, %(tenant_id)s, a.pool, a.agent, 0, 'reason', a.step_name, 1, a.step_input,
       CASE WHEN g.open THEN 'dispatched' ELSE 'ready' END, a.priority, agentfleet_now(),
       CASE WHEN g.open THEN agentfleet_now() END
FROM accepted a JOIN gate g ON g.pool = a.pool
RETURNING run_id::text, id::text, state, created_at
