-- Prune: request keys that are old, while their runs stay. Called by engine.prune. Index: request_keys_run_id: a key is as
-- old as its run, whose id begins with the milliseconds of its birth (RFC 9562).
WITH bound AS (
    SELECT lpad(to_hex((extract(epoch FROM agentfleet_now() - make_interval(secs => %(age)s::float8)) * 1000)::bigint), 12, '0') AS hex
), prunable AS (
    SELECT k.tenant_id, k.key FROM request_keys k
    WHERE k.run_id < (SELECT (substr(hex, 1, 8) || '-' || substr(hex, 9) || '-7000-8000-000000000000')::uuid FROM bound)
    ORDER BY k.run_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM request_keys k USING prunable p WHERE k.tenant_id = p.tenant_id AND k.key = p.key RETURNING k.key
