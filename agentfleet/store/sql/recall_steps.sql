-- Recall: a worker that stops returns the messages it has not claimed. Called by engine.recall. Index: steps_pkey.
WITH free AS (
    SELECT id FROM steps WHERE id = ANY(%(step_id)s::uuid[]) AND state = ANY(%(recallable)s) FOR UPDATE SKIP LOCKED
)
UPDATE steps s SET state = 'ready', dispatched_at = NULL FROM free WHERE s.id = free.id
RETURNING s.id::text
