-- A batch and who is in it, committed before the provider hears of it. Called by engine.send. Indexes: steps_pkey,
-- batch_items_pkey. Zero rows for a step: it is not waiting any more; without any, there is no batch.
-- From now on the step waits until it has to call directly.
WITH chosen AS (
    SELECT * FROM unnest(%(step_id)s::uuid[], %(custom_id)s::text[], %(wait)s::float8[]) AS c(step_id, custom_id, wait)
), free AS (
    -- Whoever holds the row promotes or cancels it.
    SELECT s.id FROM steps s
    WHERE s.id = ANY(%(step_id)s::uuid[]) AND s.state = 'waiting' AND s.blocked_on = 'batch'
    FOR NO KEY UPDATE SKIP LOCKED
), kept AS (
    UPDATE steps s SET not_before = agentfleet_now() + make_interval(secs => c.wait)
    FROM free JOIN chosen c ON c.step_id = free.id WHERE s.id = ANY(ARRAY(SELECT id FROM free)) AND s.id = free.id
    RETURNING s.id, c.custom_id
), item AS (
    UPDATE batch_items i SET state = 'sending', batch_id = %(batch_id)s, custom_id = k.custom_id
    FROM kept k WHERE i.step_id = ANY(%(step_id)s::uuid[]) AND i.step_id = k.id AND i.state = 'waiting'
    RETURNING i.step_id
), batch AS (
    INSERT INTO batches (id, account, state, requests)
    SELECT %(batch_id)s, %(account)s, 'sending', count(*) FROM item HAVING count(*) > 0
)
SELECT step_id::text FROM item
