-- Admission: tell the steps that wait for a bucket when they may probably go on, where what they were told is wrong by
-- more than five seconds and a fifth. Called by engine.admit. Indexes: steps_admission, steps_pkey.
-- A tenant's steps follow each other at its share of the limits. Whoever is being written at this moment is left out, so
-- nothing waits for a lock here.
WITH tenant AS (
    SELECT * FROM unnest(%(tenant_id)s::text[], %(share)s::float8[]) AS t(tenant_id, share)
), expected AS (
    SELECT s.id, s.not_before, agentfleet_now() + make_interval(secs => %(next_in)s::float8 + coalesce(greatest(
               count(*) OVER ahead / %(requests)s::float8, sum(s.input_estimate) OVER ahead / %(input_tokens)s::float8,
               sum(s.output_estimate) OVER ahead / %(output_tokens)s::float8), 0) * 60 / t.share) AS at
    FROM tenant t JOIN steps s ON s.pool = %(pool)s AND s.bucket = %(bucket)s AND s.tenant_id = t.tenant_id
        AND s.state = 'waiting' AND s.bucket IS NOT NULL
    WINDOW ahead AS (PARTITION BY s.tenant_id ORDER BY s.priority DESC, s.ready_at, s.id
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), wrong AS (
    SELECT id, at FROM expected
    WHERE abs(extract(epoch FROM not_before - at)) > 5 + extract(epoch FROM at - agentfleet_now()) / 5
    ORDER BY at LIMIT %(limit)s
), free AS MATERIALIZED (
    SELECT id FROM steps WHERE id = ANY(ARRAY(SELECT id FROM wrong)) AND state = 'waiting' AND bucket IS NOT NULL
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE steps s SET not_before = w.at FROM wrong w JOIN free f ON f.id = w.id
WHERE s.id = ANY(ARRAY(SELECT id FROM free)) AND s.id = w.id
RETURNING s.id::text
