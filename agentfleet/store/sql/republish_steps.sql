-- Republish: dispatched steps whose message is probably lost. Called by engine.republish. Index: steps_dispatched.
-- A spare message does no harm (its claim matches nothing), so the rule only has to avoid floods: unclaimed for longer
-- than `after` and than `slack` times the recent p99 of dispatch-to-claim (at most a minute).
WITH recent AS (
    -- Step ids are UUIDv7, so the end of attempts_pkey is the recent past.
    SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM claimed_at - dispatched_at)) AS p99
    FROM (SELECT claimed_at, dispatched_at FROM attempts ORDER BY step_id DESC LIMIT 500) AS a
), lost AS (
    SELECT s.id FROM steps s
    WHERE s.pool = %(pool)s AND s.state = 'dispatched'
      AND s.dispatched_at < agentfleet_now()
          - make_interval(secs => greatest(%(after)s, least(60, %(slack)s * coalesce((SELECT p99 FROM recent), 0)))::float8)
    ORDER BY s.dispatched_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE steps s SET dispatched_at = agentfleet_now()
FROM lost, runs r WHERE s.id = lost.id AND r.id = s.run_id
RETURNING s.id::text, s.run_id::text, s.pool, s.agent, s.kind, s.name, s.seq, s.attempt + 1, r.traceparent
