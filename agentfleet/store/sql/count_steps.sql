-- Gauges: open steps per pool and state, and the age of the oldest. Called by engine.measure.
-- Partial indexes only, so finished steps are never read: steps_ready, steps_dispatched, steps_lease, steps_due.
SELECT pool, 'ready', count(*)::int, coalesce(extract(epoch FROM agentfleet_now() - min(ready_at)), 0)::float8 FROM steps WHERE state = 'ready' GROUP BY pool
UNION ALL
SELECT pool, 'dispatched', count(*)::int, coalesce(extract(epoch FROM agentfleet_now() - min(dispatched_at)), 0)::float8 FROM steps WHERE state = 'dispatched' GROUP BY pool
UNION ALL
SELECT pool, 'running', count(*)::int, coalesce(extract(epoch FROM agentfleet_now() - min(claimed_at)), 0)::float8 FROM steps WHERE state = 'running' GROUP BY pool
UNION ALL
SELECT pool, 'waiting', count(*)::int, coalesce(extract(epoch FROM agentfleet_now() - min(created_at)), 0)::float8 FROM steps WHERE state = 'waiting' GROUP BY pool
