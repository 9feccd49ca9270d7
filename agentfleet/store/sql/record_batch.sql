-- The provider has accepted it. Called by engine.send. Index: batches_pkey.
UPDATE batches SET state = 'sent', provider_id = %(provider_id)s
WHERE id = %(batch_id)s AND state NOT IN ('sent', 'ended', 'lost')
RETURNING id::text
