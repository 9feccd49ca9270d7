-- Plan: count the steps that have come to this pool since it was last counted, and note what is known of it.
-- Called by engine.loads. Indexes: pool_loads_pkey, steps_pkey (ids are UUIDv7: whose id is of these seconds came in
-- them). Ids are made by the clock of who submits, and committed a moment later: the newest seconds count next time.
-- Two who measure at once take turns, and what one of them has counted the other does not add.
WITH last AS MATERIALIZED (
    SELECT until, rate, step_seconds FROM pool_loads WHERE pool = %(pool)s ORDER BY at DESC LIMIT 1 FOR UPDATE
), span AS MATERIALIZED (
    SELECT coalesce((SELECT until FROM last), agentfleet_now() - make_interval(secs => %(first)s)) AS begun,
           agentfleet_now() - make_interval(secs => %(late)s) AS until
), counted AS MATERIALIZED (
    SELECT greatest(begun, until - make_interval(secs => %(longest)s)) AS since, until FROM span WHERE until > begun
), arrived AS (
    SELECT c.until, extract(epoch FROM c.until - c.since)::float8 AS seconds, (
        SELECT count(*) FROM steps s WHERE s.pool = %(pool)s
          AND s.id >= (lpad(to_hex((extract(epoch FROM c.since) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
          AND s.id < (lpad(to_hex((extract(epoch FROM c.until) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
    ) AS steps FROM counted c
), smooth AS (
    -- The last minute counts for two thirds of the rate.
    SELECT a.*, CASE WHEN l.rate IS NULL THEN a.steps / a.seconds
                     ELSE l.rate + (a.steps / a.seconds - l.rate) * (1 - exp(-a.seconds / 60)) END AS rate,
           coalesce(%(step_seconds)s::float8, l.step_seconds) AS step_seconds
    FROM arrived a LEFT JOIN last l ON true
)
INSERT INTO pool_loads AS p (pool, at, until, arrivals, seconds, rate, step_seconds, provider_slots)
SELECT %(pool)s, date_bin('5 minutes', until, 'epoch'), until, steps, seconds, rate, step_seconds, %(provider_slots)s::float8
FROM smooth
ON CONFLICT (pool, at) DO UPDATE
SET until = excluded.until, arrivals = p.arrivals + excluded.arrivals, seconds = p.seconds + excluded.seconds,
    rate = excluded.rate, step_seconds = excluded.step_seconds, provider_slots = excluded.provider_slots
WHERE p.until <= excluded.until - make_interval(secs => excluded.seconds)
