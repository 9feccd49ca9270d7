-- Alert: take what is to be told. Called by engine.alert. Index: alerts_unsent.
-- Taking one sets the time of its next try: if this process dies in between, somebody tries again. After %(most_tries)s
-- tries there is none. SKIP LOCKED: another pool's reconciler tells that one.
WITH due AS (
    SELECT id FROM alerts WHERE send_at <= agentfleet_now() ORDER BY send_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE alerts a
SET tries = a.tries + 1,
    send_at = CASE WHEN a.tries + 1 < %(most_tries)s
                   THEN agentfleet_now() + make_interval(secs => least(%(pause)s * 2.0 ^ a.tries, %(longest)s)) END
FROM due WHERE a.id = due.id
RETURNING a.id::text, a.kind, a.subject, a.message, a.data, a.seen, a.created_at, a.last_seen_at, a.resolved_at, a.tries,
          a.send_at IS NULL
