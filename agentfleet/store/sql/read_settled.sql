-- After a COMMIT whose outcome is unknown: which of these settlements were written? Called by engine.settle.
-- The attempts row is written by settle alone, keyed on the fence, so its presence is the proof. Index: attempts_pkey.
SELECT a.step_id::text FROM attempts a JOIN unnest(%(step_id)s::uuid[], %(fence)s::int[]) AS m(step_id, fence)
  ON a.step_id = m.step_id AND a.fence = m.fence
WHERE a.step_id = ANY(%(step_id)s::uuid[])
