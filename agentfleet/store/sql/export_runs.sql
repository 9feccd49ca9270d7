-- Everything that is stored of ended runs, one JSON object each, as the tables hold it. Called by store.archive before
-- they are deleted. Indexes: runs_pkey, steps_run_id_key, attempts_pkey, messages_pkey, run_events_pkey, dead_letters_run_id,
-- request_keys_run_id, budgets_pkey, batch_items_pkey.
-- Texts stay texts, so conversation and documents come back byte for byte.
SELECT r.id::text, r.version, r.bundle_id, json_build_object(
    'run', to_json(r),
    'steps', (SELECT coalesce(json_agg(s ORDER BY s.seq), '[]') FROM steps s WHERE s.run_id = r.id),
    'attempts', (SELECT coalesce(json_agg(a ORDER BY a.step_id, a.fence), '[]')
                 FROM steps s CROSS JOIN LATERAL (SELECT * FROM attempts WHERE step_id = s.id OFFSET 0) a WHERE s.run_id = r.id),
    'messages', (SELECT coalesce(json_agg(m ORDER BY m.turn, m.part), '[]') FROM messages m WHERE m.run_id = r.id),
    'events', (SELECT coalesce(json_agg(e ORDER BY e.seq), '[]') FROM run_events e WHERE e.run_id = r.id),
    'dead_letters', (SELECT coalesce(json_agg(d ORDER BY d.id), '[]') FROM dead_letters d WHERE d.run_id = r.id),
    'request_keys', (SELECT coalesce(json_agg(k ORDER BY k.key), '[]') FROM request_keys k WHERE k.run_id = r.id),
    'budgets', (SELECT coalesce(json_agg(b ORDER BY b.id), '[]') FROM budgets b WHERE b.id = 'run/' || r.id::text),
    'batch_items', (SELECT coalesce(json_agg(i ORDER BY i.step_id), '[]')
                    FROM steps s CROSS JOIN LATERAL (SELECT * FROM batch_items WHERE step_id = s.id OFFSET 0) i WHERE s.run_id = r.id)
)::text
FROM runs r WHERE r.id = ANY(%(run_id)s::uuid[]) ORDER BY r.id
