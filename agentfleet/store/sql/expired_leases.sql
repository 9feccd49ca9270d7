-- Rescue, first half: whose lease has ended? Called by engine.rescue, which settles each as a crashed attempt; settling
-- checks fence and lease again, so nothing is locked here. Indexes: steps_lease, attempts_pkey.
--
-- A step is suspected of killing its workers once it may be buried for it (`suspected_after` crashes). The leases of a dead
-- worker end in the order of their claims, so "a younger suspect runs there" is known before that one's turn comes.
SELECT s.id::text, s.run_id::text, s.kind, s.name, s.seq, s.effect, s.fence, s.attempt, s.crashes, s.snoozes, s.worker,
       extract(epoch FROM agentfleet_now() - s.lease_until)::float8,
       s.crashes >= %(suspected_after)s AND EXISTS (
           SELECT FROM steps o WHERE o.state = 'running' AND o.worker = s.worker AND o.crashes >= %(suspected_after)s
             AND (o.claimed_at, o.id) > (s.claimed_at, s.id)
       ),
       (SELECT json_agg(json_build_object(
            'worker', d.worker, 'fence', d.fence, 'attempt', d.attempt,
            'claimed_at', to_char(d.claimed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'rescued_at', to_char(d.rescued_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) ORDER BY d.fence)
        FROM (
            SELECT s.worker, s.fence, s.attempt, s.claimed_at, agentfleet_now() AS rescued_at
            UNION ALL (
                -- A crash gives its attempt back: the worker logged the number before.
                SELECT a.worker, a.fence, a.attempt + 1, a.claimed_at, a.finished_at FROM attempts a
                WHERE a.step_id = s.id AND a.verdict = 'crashed' ORDER BY a.fence DESC LIMIT 9
            )
        ) AS d)
FROM steps s WHERE s.state = 'running' AND s.lease_until < agentfleet_now()
ORDER BY s.lease_until, s.claimed_at, s.id LIMIT %(limit)s
