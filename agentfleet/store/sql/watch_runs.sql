-- What long polls and event streams wait for: one statement for every watcher of the process, whatever its tenant.
-- The function sees all tenants' runs; its callers have read each run as its tenant before. Index: runs_pkey.
SELECT id::text, version, event_seq, state FROM agentfleet_watch_runs(%(run_id)s::uuid[])
