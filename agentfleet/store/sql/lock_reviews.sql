-- As lock_runs, for the runs of dead letters. Called by store.runs before replay_dead_letters. Indexes: runs_pkey,
-- dead_letters_pkey.
SELECT FROM runs WHERE id = ANY(ARRAY(SELECT run_id FROM dead_letters WHERE id = ANY(%(dead_letter_id)s::uuid[])))
ORDER BY id FOR NO KEY UPDATE
