-- Prune: tombstones of runs that were deleted long ago: nobody asks any more. Called by engine.prune.
-- Index: run_tombstones_deleted.
WITH prunable AS (
    SELECT t.id FROM run_tombstones t WHERE t.deleted_at < agentfleet_now() - make_interval(secs => %(age)s::float8)
    ORDER BY t.deleted_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM run_tombstones t USING prunable p WHERE t.id = p.id RETURNING t.id::text
