-- Rescue, first half: whose lease has ended? Called by engine.rescue, which settles each as a crashed attempt; settling
-- checks fence and lease again, so nothing is locked here. Indexes: steps_lease, attempts_pkey, runs_pkey.
WITH suspect AS (
    -- Tools that had crashed before and ran in a worker that lost a lease now, this one or another; `likelier`: how many
    -- of them are likelier to have killed it.
    SELECT id, count(*) OVER (PARTITION BY worker) - 1 AS size,
           row_number() OVER (PARTITION BY worker ORDER BY crashes DESC, claimed_at DESC, id DESC) - 1 AS likelier,
           count(*) OVER (PARTITION BY worker, crashes, claimed_at) > 1 AS tied
    FROM steps WHERE state = 'running' AND crashes > 0 AND kind = 'tool'
      AND worker IN (SELECT worker FROM steps WHERE state = 'running' AND lease_until < agentfleet_now())
)
SELECT s.id::text, s.run_id::text, s.agent, s.kind, s.name, s.seq, s.effect, s.fence, s.attempt, s.crashes, s.snoozes, s.worker,
       extract(epoch FROM agentfleet_now() - s.lease_until)::float8,
       p.size::int, p.likelier::int, p.tied, s.lease_until <= s.claimed_at + make_interval(secs => %(lease)s),
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
        ) AS d),
       CASE WHEN s.kind = 'reason' THEN coalesce(s.input_estimate, (SELECT prompt_tokens FROM runs WHERE id = s.run_id), 0) ELSE 0 END
FROM steps s LEFT JOIN suspect p ON p.id = s.id
WHERE s.state = 'running' AND s.lease_until < agentfleet_now()
ORDER BY s.lease_until, s.claimed_at, s.id LIMIT %(limit)s
