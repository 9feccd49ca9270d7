-- As lock_runs, with the children of these runs and theirs. Called by store.runs before end_runs. Indexes: runs_pkey,
-- runs_children.
WITH RECURSIVE tree(id) AS (
    SELECT unnest(%(run_id)s::uuid[])
    UNION
    SELECT r.id FROM tree t CROSS JOIN LATERAL (SELECT id FROM runs WHERE parent_run_id = t.id OFFSET 0) r  -- by index
)
SELECT FROM runs WHERE id = ANY(ARRAY(SELECT id FROM tree)) ORDER BY id FOR NO KEY UPDATE
