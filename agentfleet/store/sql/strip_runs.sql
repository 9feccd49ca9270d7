-- Delete the details of ended runs that are as they were exported: steps with their attempts, messages, events.
-- Called by engine.prune when the archive has them, or there is none. Indexes: runs_pkey, runs_children,
-- dead_letters_run_id, steps_run_id_key, messages_pkey, run_events_pkey.
-- The rest goes with the steps, by foreign key. A run does not come back that has changed meanwhile, or that somebody holds:
-- the next round looks again.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%(run_id)s::uuid[], %(version)s::int[], %(archived_to)s::text[]) AS a(id, version, archived_to)
), locked AS MATERIALIZED (
    SELECT r.id, a.archived_to FROM runs r JOIN asked a ON a.id = r.id AND a.version = r.version
    WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.finished_at IS NOT NULL AND r.stripped_at IS NULL
      AND NOT EXISTS (SELECT FROM runs c WHERE c.parent_run_id = r.id AND c.finished_at IS NULL OFFSET 0)
      AND NOT EXISTS (SELECT FROM (SELECT state FROM dead_letters WHERE run_id = r.id OFFSET 0) d WHERE d.state = 'open')
    ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
), no_steps AS (
    DELETE FROM steps s WHERE s.run_id = ANY(ARRAY(SELECT id FROM locked))
), no_messages AS (
    DELETE FROM messages m WHERE m.run_id = ANY(ARRAY(SELECT id FROM locked))
), no_events AS (
    DELETE FROM run_events e WHERE e.run_id = ANY(ARRAY(SELECT id FROM locked))
)
UPDATE runs r SET stripped_at = agentfleet_now(), archived_to = coalesce(r.archived_to, l.archived_to), version = r.version + 1
FROM locked l WHERE r.id = l.id AND r.id = ANY(ARRAY(SELECT id FROM locked))
RETURNING r.id::text
