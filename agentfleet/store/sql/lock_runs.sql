-- Wait for whoever writes these runs now; the next statement of the transaction sees what that was. In id order, as
-- everywhere. Called by store.runs before end_runs. Index: runs_pkey.
SELECT FROM runs WHERE id = ANY(%(run_id)s::uuid[]) ORDER BY id FOR NO KEY UPDATE
