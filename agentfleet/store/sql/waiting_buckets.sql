-- Admission: which buckets of the provider do steps of this pool wait for, how many of whom, and what do they need all
-- together? Called by engine.admit. Index: steps_admission.
SELECT s.bucket, s.tenant_id, coalesce(t.weight, 1)::float8, count(*)::int,
       sum(s.input_estimate)::float8, sum(s.output_estimate)::float8
FROM steps s LEFT JOIN tenants t ON t.id = s.tenant_id
WHERE s.pool = %(pool)s AND s.state = 'waiting' AND s.bucket IS NOT NULL
GROUP BY s.bucket, s.tenant_id, t.weight
