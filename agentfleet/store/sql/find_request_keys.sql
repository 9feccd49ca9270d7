-- The runs that took these request keys first. Called by engine.submit after a conflict.
-- Indexes: request_keys_pkey, runs_pkey.
WITH taken AS MATERIALIZED (
    SELECT key, fingerprint, run_id FROM request_keys WHERE tenant_id = %(tenant_id)s AND key = ANY(%(key)s)
)
SELECT t.key, t.fingerprint, t.run_id::text, r.created_at FROM taken t JOIN runs r ON r.id = t.run_id
WHERE r.id = ANY(ARRAY(SELECT run_id FROM taken))
