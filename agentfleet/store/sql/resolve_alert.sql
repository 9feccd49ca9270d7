-- Alert: it is over, and that is told, too. Called by store.alerts. Index: alerts_one_open.
-- Zero rows: it was not open.
UPDATE alerts SET resolved_at = agentfleet_now(), send_at = agentfleet_now(), tries = 0
WHERE kind = %(kind)s AND subject = %(subject)s AND resolved_at IS NULL
RETURNING id
