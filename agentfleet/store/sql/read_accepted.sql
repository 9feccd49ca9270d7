-- After a COMMIT whose outcome is unknown: which of these runs were accepted? Called by engine.submit. Index: runs_pkey.
SELECT r.id::text, s.id::text, s.state, r.created_at FROM runs r JOIN steps s ON s.run_id = r.id AND s.seq = 0
WHERE r.id = ANY(%(run_id)s::uuid[])
