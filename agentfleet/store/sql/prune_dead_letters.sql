-- Prune: dead letters that were dealt with, and messages that were no steps, once they are old. Called by engine.prune.
-- Index: dead_letters_pkey: ids begin with the milliseconds of their birth (RFC 9562), and nothing is dealt with before it
-- is born. What is open waits for a human, however long. Zero rows: nothing is old enough, or somebody holds it.
WITH old AS (
    SELECT agentfleet_now() - make_interval(days => %(days)s) AS moment
), bound AS (
    SELECT lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') AS hex FROM old
), prunable AS (
    SELECT d.id FROM dead_letters d
    WHERE d.id < (SELECT (substr(hex, 1, 8) || '-' || substr(hex, 9) || '-7000-8000-000000000000')::uuid FROM bound)
      AND (d.step_id IS NULL OR d.resolved_at < (SELECT moment FROM old))  -- what is open has no resolved_at
    ORDER BY d.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM dead_letters d USING prunable p WHERE d.id = p.id RETURNING d.id::text
