-- Delete ended runs that are as they were exported, with all that belongs to them, and leave their tombstones.
-- Called by engine.prune when the archive has them, or there is none. Indexes: runs_pkey, runs_children, dead_letters_run_id.
-- Whatever belongs to a run goes by foreign key, each of which has its index. A run does not come back that has changed
-- meanwhile, that has children, or that somebody holds: the next round looks again. The first object that a run went to
-- has all of it: its details may have gone since.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%(run_id)s::uuid[], %(version)s::int[], %(archived_to)s::text[]) AS a(id, version, archived_to)
), locked AS MATERIALIZED (
    SELECT r.id, r.tenant_id, r.state, r.finished_at, coalesce(r.archived_to, a.archived_to) AS archived_to
    FROM runs r JOIN asked a ON a.id = r.id AND a.version = r.version
    WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.finished_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM runs c WHERE c.parent_run_id = r.id OFFSET 0)
      AND NOT EXISTS (SELECT FROM (SELECT state FROM dead_letters WHERE run_id = r.id OFFSET 0) d WHERE d.state = 'open')
    ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
), tombstones AS (
    INSERT INTO run_tombstones (id, tenant_id, state, finished_at, archived_to)
    SELECT id, tenant_id, state, finished_at, archived_to FROM locked ON CONFLICT (id) DO NOTHING
)
DELETE FROM runs r USING locked l WHERE r.id = l.id AND r.id = ANY(ARRAY(SELECT id FROM locked))
RETURNING r.id::text
