-- Alert: it was told. Called by engine.alert. Index: alerts_pkey.
-- One that was resolved since it was taken has more to tell: it stays due.
UPDATE alerts SET send_at = NULL
WHERE id = %(id)s AND resolved_at IS NOT DISTINCT FROM %(resolved_at)s
