-- Expire, first half: runs whose deadline has passed. Called by engine.cancel. Index: runs_deadline.
SELECT id::text FROM runs WHERE finished_at IS NULL AND deadline_at < agentfleet_now() ORDER BY deadline_at LIMIT %(limit)s
