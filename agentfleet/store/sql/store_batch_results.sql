-- Results of one batch, as they came: their steps are due at once. Called by engine.receive. Indexes:
-- batch_items_custom_id_key, steps_pkey. A result that nobody waits for any more is kept as spilled: it is paid for.
WITH came AS (
    SELECT * FROM unnest(%(custom_id)s::text[], %(state)s::text[], %(result)s::text[]) AS c(custom_id, state, result)
), item AS (
    UPDATE batch_items i
    SET state = CASE WHEN i.state = 'sending' AND s.state = ANY(%(open_steps)s) THEN c.state ELSE 'spilled' END,
        result = c.result, finished_at = agentfleet_now()
    FROM came c, steps s
    WHERE i.custom_id = ANY(%(custom_id)s::text[]) AND i.custom_id = c.custom_id
      AND i.result IS NULL AND s.id = i.step_id
    RETURNING i.step_id, i.state
), due AS (
    -- Whoever holds the row promotes or cancels it.
    SELECT s.id FROM steps s
    WHERE s.id = ANY(ARRAY(SELECT step_id FROM item)) AND s.state = 'waiting' AND s.blocked_on = 'batch'
    FOR NO KEY UPDATE SKIP LOCKED
), called AS (
    UPDATE steps s SET not_before = agentfleet_now() FROM due WHERE s.id = due.id
)
SELECT state, count(*)::int FROM item GROUP BY state
