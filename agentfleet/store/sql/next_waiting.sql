-- Admission: the first steps of each of these tenants that wait for a bucket, higher priority first, then the oldest.
-- Called by engine.admit. Indexes: steps_admission, runs_pkey.
SELECT c.tenant_id, c.id::text, c.input_estimate, c.output_estimate
FROM unnest(%(tenant_id)s::text[]) AS t(tenant_id)
CROSS JOIN LATERAL (
    SELECT s.tenant_id, s.id, s.input_estimate, s.output_estimate FROM steps s
    WHERE s.pool = %(pool)s AND s.bucket = %(bucket)s AND s.tenant_id = t.tenant_id AND s.state = 'waiting'
      AND s.bucket IS NOT NULL AND NOT EXISTS (SELECT FROM runs r WHERE r.id = s.run_id AND r.state = 'paused')
    ORDER BY s.priority DESC, s.ready_at LIMIT %(limit)s
) c
