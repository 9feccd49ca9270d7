-- After a lock timeout: which of these steps could be settled at once, because nobody holds their row or their run's?
-- Called by engine.settle for what has waited in vain. Locks nothing for longer than it takes. Indexes: steps_pkey,
-- runs_pkey.
SELECT s.id::text FROM steps s JOIN runs r ON r.id = s.run_id
WHERE s.id = ANY(%(step_id)s::uuid[]) FOR NO KEY UPDATE OF s, r SKIP LOCKED
