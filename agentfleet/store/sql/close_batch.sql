-- Nothing more is to come of this batch. Called by engine.send and engine.receive. Indexes: batches_pkey,
-- batch_items_batch_id, steps_pkey. Who got no result calls directly, at once, or with `again` waits for another batch.
WITH closed AS (
    UPDATE batches b SET state = %(state)s, ended_at = agentfleet_now()
    WHERE b.id = %(batch_id)s::uuid AND b.state NOT IN ('ended', 'lost')
    RETURNING b.id
), item AS (
    UPDATE batch_items i
    SET state = CASE WHEN %(again)s THEN 'waiting' ELSE 'spilled' END,
        batch_id = CASE WHEN NOT %(again)s THEN i.batch_id END, custom_id = CASE WHEN NOT %(again)s THEN i.custom_id END,
        created_at = CASE WHEN %(again)s THEN agentfleet_now() ELSE i.created_at END,
        finished_at = CASE WHEN NOT %(again)s THEN agentfleet_now() END
    FROM closed WHERE i.batch_id = %(batch_id)s::uuid AND i.batch_id = closed.id AND i.state = 'sending'
    RETURNING i.step_id
), due AS (
    SELECT s.id FROM steps s
    WHERE s.id = ANY(ARRAY(SELECT step_id FROM item)) AND s.state = 'waiting' AND s.blocked_on = 'batch'
    FOR NO KEY UPDATE SKIP LOCKED
), called AS (
    UPDATE steps s SET not_before = least(
        s.not_before, agentfleet_now() + make_interval(secs => CASE WHEN %(again)s THEN %(patience)s ELSE 0 END::float8))
    FROM due WHERE s.id = due.id
)
SELECT step_id::text FROM item
