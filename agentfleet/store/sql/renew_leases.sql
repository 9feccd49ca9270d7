-- Heartbeat: one statement per worker process for all its steps. Called by engine.heartbeat. Index: steps_pkey.
-- A step that does not come back is lost: cancelled, rescued, or being settled at this moment.
WITH mine AS (
    SELECT s.id FROM steps s JOIN unnest(%(step_id)s::uuid[], %(fence)s::int[]) AS m(id, fence) ON s.id = m.id
    WHERE s.id = ANY(%(step_id)s::uuid[]) AND s.fence = m.fence AND s.state = ANY(%(renewable)s)
    FOR UPDATE OF s SKIP LOCKED
)
UPDATE steps s SET lease_until = agentfleet_now() + make_interval(secs => %(lease)s)
FROM mine WHERE s.id = mine.id
RETURNING s.id::text
