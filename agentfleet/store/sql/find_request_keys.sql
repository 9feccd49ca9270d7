-- The runs that took these request keys first. Called by engine.submit after a conflict.
SELECT k.key, k.fingerprint, k.run_id::text, r.created_at FROM request_keys k JOIN runs r ON r.id = k.run_id
WHERE k.tenant_id = %(tenant_id)s AND k.key = ANY(%(key)s)
