-- As lock_runs, with the children of these runs and theirs. Called by store.runs before end_runs. Indexes: runs_pkey,
-- runs_children.
WITH RECURSIVE tree(id) AS (
    SELECT unnest(%(run_id)s::uuid[])
    UNION
    SELECT r.id FROM tree t JOIN runs r ON r.parent_run_id = t.id
)
SELECT FROM runs WHERE id = ANY(ARRAY(SELECT id FROM tree)) ORDER BY id FOR NO KEY UPDATE
