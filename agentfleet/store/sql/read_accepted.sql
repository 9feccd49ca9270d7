-- After a COMMIT whose outcome is unknown: which of these runs were accepted? Called by engine.submit. Indexes: runs_pkey,
-- steps_run_id_key.
SELECT r.id::text, s.id::text, s.state, r.created_at FROM runs r JOIN steps s ON s.run_id = r.id AND s.seq = 0
WHERE r.id = ANY(%(run_id)s::uuid[]) AND s.run_id = ANY(%(run_id)s::uuid[])
