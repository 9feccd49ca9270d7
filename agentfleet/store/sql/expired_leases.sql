-- Rescue, first half: whose lease has ended? Called by engine.rescue, which settles each as a crashed attempt; settling
-- checks fence and lease again, so nothing is locked here. Index: steps_lease.
SELECT id::text, run_id::text, kind, name, seq, effect, fence, attempt, crashes, snoozes, worker,
       extract(epoch FROM agentfleet_now() - lease_until)::float8
FROM steps WHERE state = 'running' AND lease_until < agentfleet_now()
ORDER BY lease_until LIMIT %(limit)s
