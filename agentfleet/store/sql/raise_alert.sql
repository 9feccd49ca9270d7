-- Alert: open one, or note that it was seen again. Called by store.alerts. Index: alerts_one_open.
INSERT INTO alerts (id, kind, subject, message, data) VALUES (%(id)s, %(kind)s, %(subject)s, %(message)s, %(data)s)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL
DO UPDATE SET seen = alerts.seen + 1, last_seen_at = agentfleet_now(), message = excluded.message, data = excluded.data
RETURNING seen = 1
