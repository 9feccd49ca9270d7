-- What long polls and event streams wait for: one statement for every watcher of the process. Index: runs_pkey.
SELECT id::text, version, event_seq FROM runs WHERE id = ANY(%(run_id)s::uuid[])
