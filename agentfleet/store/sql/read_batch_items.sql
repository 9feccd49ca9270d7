-- What is left of a run's deadline, and how far its step's request is. Called by engine.batch. Indexes: steps_pkey,
-- runs_pkey, batch_items_pkey.
SELECT s.id::text, extract(epoch FROM r.deadline_at - agentfleet_now())::float8,
       extract(epoch FROM r.deadline_at - r.created_at)::float8, i.state,
       extract(epoch FROM agentfleet_now() - i.created_at)::float8, i.result, b.account, i.finished_at::date
FROM steps s JOIN runs r ON r.id = s.run_id
LEFT JOIN batch_items i ON i.step_id = s.id
LEFT JOIN batches b ON b.id = i.batch_id
WHERE s.id = ANY(%(step_id)s::uuid[])
