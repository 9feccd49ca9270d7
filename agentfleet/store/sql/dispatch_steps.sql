-- Dispatch: ready -> dispatched, as many as the pool's window has room for. Called by engine.dispatch.
-- Indexes: steps_dispatched (the room), steps_ready (the order). Zero rows: no backlog, or no room.
-- Tenants take turns; within a tenant, higher priority first, then the oldest.
WITH RECURSIVE tenant AS (
    (SELECT tenant_id FROM steps WHERE pool = %(pool)s AND state = 'ready' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT s.tenant_id FROM steps s WHERE s.pool = %(pool)s AND s.state = 'ready' AND s.tenant_id > tenant.tenant_id
            ORDER BY s.tenant_id LIMIT 1)
    FROM tenant WHERE tenant.tenant_id IS NOT NULL
), room AS (
    SELECT greatest(0, %(window)s - (SELECT count(*) FROM steps WHERE pool = %(pool)s AND state = 'dispatched')) AS free
), candidate AS (
    SELECT c.id, c.turn, c.priority FROM tenant
    CROSS JOIN LATERAL (
        SELECT s.id, s.priority, row_number() OVER (ORDER BY s.priority DESC, s.ready_at) AS turn
        FROM steps s WHERE s.pool = %(pool)s AND s.state = 'ready' AND s.tenant_id = tenant.tenant_id
          AND NOT EXISTS (SELECT FROM runs r WHERE r.id = s.run_id AND r.state = 'paused')
        ORDER BY s.priority DESC, s.ready_at LIMIT (SELECT free FROM room)
    ) c
    ORDER BY c.turn, c.priority DESC LIMIT (SELECT free FROM room)
), free AS (
    SELECT s.id FROM steps s WHERE s.id = ANY(ARRAY(SELECT id FROM candidate)) AND s.state = ANY(%(dispatchable)s)
    FOR UPDATE SKIP LOCKED
)
UPDATE steps s SET state = 'dispatched', dispatched_at = agentfleet_now()
FROM free, runs r WHERE s.id = free.id AND r.id = s.run_id AND r.state <> 'paused'
RETURNING s.id::text, s.run_id::text, s.pool, s.agent, s.kind, s.name, s.seq, s.attempt + 1, r.traceparent
