-- Which ended runs of these tenants have been kept for long enough? The oldest of each rule first.
-- Called by engine.prune, again and again, before it archives and deletes them. Indexes: runs_ended, runs_children,
-- dead_letters_run_id.
-- Nothing is due whose dead letter is open. With `whole` the run itself would go: only when its children have gone,
-- so that no run ever names a parent that is not there; else its details: when no child is at work.
WITH rule AS MATERIALIZED (
    SELECT * FROM unnest(%(tenant_id)s::text[], %(succeeded)s::bool[], %(stripped)s::bool[], %(age)s::float8[])
        AS r(tenant_id, succeeded, stripped, age)
)
SELECT due.* FROM rule CROSS JOIN LATERAL (
    SELECT r.id::text, r.tenant_id, r.version, r.steps_total, r.archived_to
    FROM runs r
    WHERE r.tenant_id = rule.tenant_id AND (r.output IS NOT NULL) = rule.succeeded
      AND (r.stripped_at IS NOT NULL) = rule.stripped AND r.finished_at IS NOT NULL
      AND r.finished_at <= agentfleet_now() - make_interval(secs => rule.age)
      AND NOT EXISTS (SELECT FROM runs c WHERE c.parent_run_id = r.id AND (%(whole)s OR c.finished_at IS NULL) OFFSET 0)
      AND NOT EXISTS (SELECT FROM (SELECT state FROM dead_letters WHERE run_id = r.id OFFSET 0) d WHERE d.state = 'open')
    ORDER BY r.finished_at LIMIT %(limit)s
) due LIMIT %(limit)s
