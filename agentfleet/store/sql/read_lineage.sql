-- A run of a tenant, its parent, and so on up. Called by store.budgets for a run that gets a child. Index: runs_pkey.
WITH RECURSIVE line AS (
    SELECT r.id, r.state, r.bundle_id, r.budget, r.parent_run_id, 0 AS depth FROM runs r
    WHERE r.id = %(run_id)s::uuid AND r.tenant_id = %(tenant_id)s::text
    UNION ALL
    SELECT r.*, l.depth + 1 FROM line l CROSS JOIN LATERAL (  -- by index
        SELECT id, state, bundle_id, budget, parent_run_id FROM runs WHERE id = l.parent_run_id OFFSET 0
    ) r
)
SELECT id::text, state, bundle_id, budget FROM line ORDER BY depth
