-- Batches of which something may still be to come, oldest first, how many of their requests are wanted and done.
-- Called by engine.send and engine.receive. Indexes: batches_open, batch_items_batch_id, steps_pkey.
SELECT b.id::text, b.account, b.provider_id, b.requests, extract(epoch FROM agentfleet_now() - b.created_at)::float8,
       b.created_at,
       (SELECT count(*) FILTER (WHERE (SELECT s.state FROM steps s WHERE s.id = i.step_id) = ANY(%(open_steps)s))
        FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'sending')::int,
       (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state <> 'sending')::int
FROM batches b WHERE b.state IN ('sending', 'sent') ORDER BY b.created_at
