-- Ask for a place in a batch, or spill: the step calls directly. Called by engine.batch. Index: steps_pkey, and
-- the primary key of batch_items decides. Zero rows: the item's state has moved on meanwhile; look again.
INSERT INTO batch_items (step_id, state, finished_at)
SELECT s.id, %(state)s, CASE WHEN %(state)s = 'spilled' THEN agentfleet_now() END
FROM steps s WHERE s.id = ANY(%(step_id)s::uuid[])
ON CONFLICT (step_id) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at
WHERE batch_items.step_id = ANY(%(step_id)s::uuid[]) AND batch_items.state = ANY(%(from_state)s)
RETURNING step_id::text
