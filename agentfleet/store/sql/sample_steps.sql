-- Plan: for how long do this pool's steps hold a slot of late, which models do they call, and what does a call take of
-- the provider's limits? Called by engine.loads. Indexes: attempts_pkey (step ids are UUIDv7, so its end is recent),
-- steps_pkey. Who only came to wait held no slot to speak of. Steps of the last seconds are left out: only the short ones
-- of them have ended. Input without what was read from the provider's cache.
SELECT CASE WHEN s.kind = 'reason' AND a.request_id IS NOT NULL THEN s.name END AS model, count(*)::int,
       sum(extract(epoch FROM a.finished_at - a.claimed_at))::float8,
       sum(coalesce((a.usage::jsonb ->> 'input_tokens')::float8, 0)
           + coalesce((a.usage::jsonb ->> 'cache_creation_input_tokens')::float8, 0)),
       sum(coalesce((a.usage::jsonb ->> 'output_tokens')::float8, 0))
FROM (
    SELECT * FROM attempts
    WHERE step_id < (lpad(to_hex((extract(epoch FROM agentfleet_now() - make_interval(secs => %(settled)s)) * 1000)::bigint), 12, '0')
                     || '70008000000000000000')::uuid
    ORDER BY step_id DESC LIMIT %(limit)s
) AS a CROSS JOIN LATERAL (
    -- OFFSET 0: one look per attempt, whatever the planner thinks of a limit that it does not know.
    SELECT s.kind, s.name FROM steps s WHERE s.id = a.step_id AND s.pool = %(pool)s OFFSET 0
) AS s
WHERE a.outcome NOT IN ('snooze', 'hand_back')
GROUP BY 1
