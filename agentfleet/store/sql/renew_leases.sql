-- Heartbeat: one statement per worker process for all its steps. Called by engine.heartbeat. Index: steps_pkey.
-- A step that does not come back is lost: cancelled or rescued. One that comes back without having been renewed is held by
-- somebody at this moment: a settle, or an earlier renewal whose connection was lost.
WITH mine AS (
    SELECT s.id FROM steps s JOIN unnest(%(step_id)s::uuid[], %(fence)s::int[]) AS m(id, fence) ON s.id = m.id
    WHERE s.id = ANY(%(step_id)s::uuid[]) AND s.fence = m.fence AND s.state = ANY(%(renewable)s)
), free AS (
    SELECT s.id FROM steps s JOIN unnest(%(step_id)s::uuid[], %(fence)s::int[]) AS m(id, fence) ON s.id = m.id
    WHERE s.id = ANY(ARRAY(SELECT id FROM mine)) AND s.fence = m.fence AND s.state = ANY(%(renewable)s)
    FOR UPDATE OF s SKIP LOCKED
), renewed AS (
    UPDATE steps s SET lease_until = agentfleet_now() + make_interval(secs => %(lease)s)
    FROM free WHERE s.id = free.id
    RETURNING s.id
)
SELECT mine.id::text, renewed.id IS NOT NULL FROM mine LEFT JOIN renewed ON renewed.id = mine.id
