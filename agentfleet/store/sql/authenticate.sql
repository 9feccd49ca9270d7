-- Whose key is this? The function sees all tenants' keys; its caller does not. Called by store.api_keys.
SELECT id::text, tenant_id FROM agentfleet_authenticate(%(secret_sha256)s)
