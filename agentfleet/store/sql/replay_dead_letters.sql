-- Replay: a dead step becomes ready with fresh attempts, edited if asked for; its run goes on where it stopped.
-- Called by engine.replay. Indexes: runs_pkey, steps_pkey, steps_run_id_key, dead_letters_pkey.
-- After lock_reviews, so that it knows of every dead letter. Zero rows for one: it is not open, or its run has ended.
WITH wanted AS (
    SELECT * FROM unnest(
        %(dead_letter_id)s::uuid[], %(action)s::text[], %(resolution)s::text[], %(event)s::text[], %(data)s::text[],
        %(input)s::text[], %(name)s::text[], %(bundle_id)s::text[], %(run_input)s::text[], %(first)s::text[],
        %(message)s::text[], %(message_turn)s::int[], %(message_part)s::int[], %(audit_id)s::uuid[]
    ) AS w(id, action, resolution, event, data, input, name, bundle_id, run_input, first, message, message_turn,
           message_part, audit_id)
), locked AS MATERIALIZED (
    SELECT r.id, r.event_seq, r.priority FROM runs r
    WHERE r.id = ANY(ARRAY(SELECT run_id FROM dead_letters WHERE id = ANY(%(dead_letter_id)s::uuid[])))
      AND r.state = ANY(%(replayable_runs)s)
), letter AS (
    UPDATE dead_letters d SET state = 'replayed', resolved_at = agentfleet_now(), resolution = w.resolution
    FROM locked l, wanted w
    WHERE d.id = ANY(%(dead_letter_id)s::uuid[]) AND d.id = w.id AND d.run_id = l.id AND d.state = 'open'
    RETURNING d.id, d.step_id, d.run_id, d.tenant_id, l.priority, w.action, w.event, w.data, w.input, w.name, w.bundle_id,
              w.run_input, w.first, w.message, w.message_turn, w.message_part, w.audit_id
), revived AS (
    UPDATE steps s
    SET state = 'ready', attempt = 0, crashes = 0, snoozes = 0, ready_at = agentfleet_now(), finished_at = NULL, error = NULL,
        priority = coalesce(%(priority)s::smallint, letter.priority),
        input = coalesce(letter.input, s.input), name = coalesce(letter.name, s.name)
    FROM letter WHERE s.id = letter.step_id AND s.state = ANY(%(replayable)s)
    RETURNING s.id, s.run_id, s.pool
), tally AS (
    SELECT r.run_id, count(*)::int AS n, max(t.bundle_id) AS bundle_id, max(t.run_input) AS run_input
    FROM revived r JOIN letter t ON t.step_id = r.id GROUP BY r.run_id
), appended AS (
    -- Behind what was said last; nobody says more while the model's step is dead.
    INSERT INTO messages (run_id, turn, part, role, content)
    SELECT run_id, message_turn, message_part, 'user', message FROM letter WHERE message IS NOT NULL
), events AS (
    INSERT INTO run_events (run_id, seq, type, data)
    SELECT v.run_id, l.event_seq + row_number() OVER (PARTITION BY v.run_id ORDER BY v.id), t.event,
           '{"step_id":"' || v.id::text || '",' || substr(t.data, 2)
    FROM revived v JOIN letter t ON t.step_id = v.id JOIN locked l ON l.id = v.run_id
), audited AS (
    INSERT INTO audit (id, tenant_id, actor, action, object)
    SELECT t.audit_id, t.tenant_id, %(actor)s, 'dead_letter.' || t.action, t.id::text FROM letter t
    WHERE %(actor)s::text IS NOT NULL
), resumed AS (
    UPDATE runs r
    SET version = r.version + 1, event_seq = r.event_seq + t.n, error = NULL,
        bundle_id = coalesce(t.bundle_id, r.bundle_id), input = coalesce(t.run_input, r.input),
        state = CASE WHEN EXISTS (
            SELECT FROM steps s WHERE s.run_id = r.id AND s.state = 'dead' AND s.id NOT IN (SELECT id FROM revived)
        ) THEN 'needs_review' ELSE 'running' END
    FROM tally t WHERE r.id = t.run_id AND r.id = ANY(ARRAY(SELECT run_id FROM tally))
)
SELECT letter.id::text, v.id::text, v.run_id::text, v.pool,
       CASE WHEN letter.first IS NOT NULL THEN agentfleet_edit_first_message(letter.run_id, letter.first) END
FROM letter JOIN revived v ON v.id = letter.step_id
