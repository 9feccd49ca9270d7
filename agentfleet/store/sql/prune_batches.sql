-- Prune: batches that ended long ago and of which no step is left. Called by engine.prune. Indexes: batches_pkey,
-- batch_items_batch_id. Ids are UUIDv7 (RFC 9562): nothing ends before it is born.
WITH bound AS (
    SELECT lpad(to_hex((extract(epoch FROM agentfleet_now() - make_interval(secs => %(age)s::float8)) * 1000)::bigint), 12, '0') AS hex
), prunable AS (
    SELECT b.id FROM batches b
    WHERE b.id < (SELECT (substr(hex, 1, 8) || '-' || substr(hex, 9) || '-7000-8000-000000000000')::uuid FROM bound)
      AND b.state IN ('ended', 'lost') AND NOT EXISTS (SELECT FROM batch_items i WHERE i.batch_id = b.id OFFSET 0)
    ORDER BY b.id LIMIT %(limit)s FOR UPDATE OF b SKIP LOCKED
)
DELETE FROM batches b USING prunable p WHERE b.id = p.id RETURNING b.id::text
