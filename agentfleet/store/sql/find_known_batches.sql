-- Which of the provider's batches are ours, as far as we know? Called by engine.send. Index: batches_provider_id_key.
SELECT provider_id FROM batches WHERE provider_id = ANY(%(provider_id)s::text[])
