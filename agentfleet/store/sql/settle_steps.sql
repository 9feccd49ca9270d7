-- Settle: the only writer of outcomes. Called by engine.settle for workers and for the reconciler's rescues.
-- Indexes: runs_pkey, steps_pkey, budget_holds_step_id. A step that does not come back was not ours any more (state or fence moved on):
-- nothing of its settlement is written.
--
-- Runs are locked first and in id order: two workers that settle siblings of the same runs must not deadlock, and the
-- counters below decide who was the last of a join. After the lock, `locked` holds the newest committed values, and
-- everything is computed from them; each run is written once.
WITH settled AS (
    SELECT * FROM unnest(
        %(step_id)s::uuid[], %(run_id)s::uuid[], %(fence)s::int[], %(event)s::text[], %(state)s::text[], %(spent)s::bool[],
        %(crashed)s::bool[], %(snoozed)s::bool[], %(expired_only)s::bool[], %(delay)s::float8[], %(blocked_on)s::text[],
        %(verdict)s::text[], %(error)s::text[], %(request_id)s::text[], %(usage)s::text[], %(input_tokens)s::int[],
        %(output_tokens)s::int[], %(cache_read_tokens)s::int[], %(cache_write_tokens)s::int[], %(cost_usd)s::numeric[],
        %(tool_calls)s::int[], %(run_state)s::text[], %(run_output)s::text[], %(run_error)s::text[],
        %(dead_letter_id)s::uuid[], %(worker)s::text[], %(bucket)s::text[], %(input_estimate)s::int[],
        %(output_estimate)s::int[], %(fingerprint)s::text[], %(account)s::text[], %(prompt_tokens)s::int[]
    ) WITH ORDINALITY AS d(step_id, run_id, fence, event, state, spent, crashed, snoozed, expired_only, delay, blocked_on,
        verdict, error, request_id, usage, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd,
        tool_calls, run_state, run_output, run_error, dead_letter_id, worker, bucket, input_estimate, output_estimate,
        fingerprint, account, prompt_tokens, ord)
), locked AS MATERIALIZED (
    SELECT r.id, r.tenant_id, r.agent, r.pool, r.priority, r.state, r.event_seq, r.steps_total, r.open_steps, r.waiting_steps, r.traceparent
    FROM runs r WHERE r.id = ANY(%(run_id)s::uuid[]) AND r.state = ANY(%(open_runs)s) ORDER BY r.id FOR NO KEY UPDATE
), written AS (
    UPDATE steps s
    SET state = d.state,
        attempt = s.attempt - CASE WHEN d.spent THEN 0 ELSE 1 END,
        crashes = s.crashes + d.crashed::int,
        snoozes = CASE WHEN d.snoozed THEN s.snoozes + 1 ELSE 0 END,
        lease_until = NULL, worker = NULL,
        not_before = CASE WHEN d.state = 'waiting' THEN agentfleet_now() + make_interval(secs => d.delay) END,
        ready_at = CASE WHEN d.state = 'ready' THEN agentfleet_now() ELSE s.ready_at END,
        finished_at = CASE WHEN d.state IN ('succeeded', 'dead', 'cancelled') THEN agentfleet_now() END,
        error = d.error, blocked_on = d.blocked_on, bucket = d.bucket,
        input_estimate = d.input_estimate, output_estimate = d.output_estimate
    FROM settled d JOIN locked l ON l.id = d.run_id
    WHERE s.id = ANY(%(step_id)s::uuid[]) AND s.id = d.step_id AND s.run_id = d.run_id
      AND s.state = ANY(%(settleable)s) AND s.fence = d.fence
      AND (NOT d.expired_only OR s.lease_until < agentfleet_now())
    RETURNING s.id, s.run_id, s.tenant_id, s.fence, s.attempt, s.dispatched_at, s.claimed_at, s.pool, d.ord
), done AS (
    SELECT d.*, w.tenant_id, w.pool FROM settled d JOIN written w ON w.ord = d.ord
), siblings AS (
    -- A run that fails takes its other open steps with it.
    UPDATE steps s SET state = 'cancelled', lease_until = NULL, not_before = NULL, finished_at = agentfleet_now()
    WHERE s.run_id = ANY(ARRAY(SELECT run_id FROM done WHERE run_state = 'failed')) AND s.state = ANY(%(cancellable)s)
      AND s.id <> ALL(ARRAY(SELECT id FROM written))
    RETURNING s.id
), siblings_letters AS (
    UPDATE dead_letters d SET state = 'discarded', resolved_at = agentfleet_now()
    WHERE d.step_id = ANY(ARRAY(SELECT id FROM siblings)) AND d.state = 'open'
), charged AS (
    -- Only where one of them held something: the others pay for a look into an index, and for nothing else.
    SELECT f.id FROM (
        SELECT WHERE EXISTS (
            SELECT FROM budget_holds h WHERE h.step_id = ANY(ARRAY(SELECT id FROM written UNION ALL SELECT id FROM siblings))
        )
    ) AS held CROSS JOIN agentfleet_charge_budgets(
        ARRAY(SELECT id FROM siblings), ARRAY(SELECT step_id FROM done ORDER BY ord),
        ARRAY(SELECT (state = 'succeeded')::int FROM done ORDER BY ord), ARRAY(SELECT tool_calls FROM done ORDER BY ord),
        ARRAY(SELECT (input_tokens + output_tokens + cache_write_tokens)::bigint FROM done ORDER BY ord),
        ARRAY(SELECT cost_usd FROM done ORDER BY ord)
    ) AS f(id)
), attempt_rows AS (
    INSERT INTO attempts (step_id, fence, attempt, outcome, verdict, error, worker, dispatched_at, claimed_at, finished_at,
                          request_id, usage, cost_usd, release)
    SELECT w.id, w.fence, w.attempt, d.event, d.verdict, d.error, d.worker, w.dispatched_at, w.claimed_at, agentfleet_now(),
           d.request_id, d.usage, d.cost_usd, %(release)s
    FROM written w JOIN settled d ON d.ord = w.ord
), message_rows AS (
    INSERT INTO messages (run_id, turn, part, role, content, step_id)
    SELECT d.run_id, m.turn, m.part, m.role, m.content, d.step_id
    FROM unnest(%(m_ord)s::bigint[], %(m_turn)s::int[], %(m_part)s::int[], %(m_role)s::text[], %(m_content)s::text[])
         AS m(ord, turn, part, role, content)
    JOIN done d ON d.ord = m.ord
), dead_letter_rows AS (
    INSERT INTO dead_letters (id, tenant_id, run_id, step_id, verdict, error, fingerprint)
    SELECT dead_letter_id, tenant_id, run_id, step_id, verdict, error, fingerprint FROM done
    WHERE dead_letter_id IS NOT NULL AND run_id NOT IN (SELECT run_id FROM done WHERE run_state = 'failed')
), follow AS (
    SELECT n.*, d.run_id,
           row_number() OVER (PARTITION BY d.run_id, n.joining ORDER BY n.ord, n.turn, n.part) AS nth
    FROM unnest(%(n_ord)s::bigint[], %(n_id)s::uuid[], %(n_kind)s::text[], %(n_name)s::text[], %(n_turn)s::int[],
                %(n_part)s::int[], %(n_input)s::text[], %(n_effect)s::text[], %(n_joining)s::bool[])
         AS n(ord, id, kind, name, turn, part, input, effect, joining)
    JOIN done d ON d.ord = n.ord
), tally AS (
    SELECT d.run_id,
           -- Cancelled: its model gave way, and the step that asks another one is among those that follow.
           count(*) FILTER (WHERE d.state IN ('succeeded', 'cancelled')) AS closed,
           count(*) FILTER (WHERE d.state = 'waiting') AS waiting,
           max(d.blocked_on) AS blocked_on, max(d.account) AS account, max(d.prompt_tokens) AS prompt_tokens,
           sum(d.tool_calls) AS tool_calls, sum(d.input_tokens) AS input_tokens, sum(d.output_tokens) AS output_tokens,
           sum(d.cache_read_tokens) AS cache_read_tokens, sum(d.cache_write_tokens) AS cache_write_tokens,
           sum(d.cost_usd) AS cost_usd,
           -- In this order: alphabetical, by luck: failed outweighs needs_review.
           min(d.run_state) AS run_state, max(d.run_output) AS run_output,
           (array_agg(d.run_error ORDER BY d.run_state))[1] AS run_error
    FROM done d GROUP BY d.run_id
), spawned AS (
    SELECT run_id, count(*) FILTER (WHERE NOT joining) AS direct, bool_or(joining) AS joins FROM follow GROUP BY run_id
), counted AS (
    -- The join fires when nothing of the run is open but the step that it creates.
    SELECT l.id AS run_id, l.steps_total, l.event_seq, l.state, l.tenant_id, l.agent, l.priority, l.traceparent, l.pool,
           coalesce(p.direct, 0) AS direct,
           coalesce(p.joins, false) AND l.open_steps - t.closed + coalesce(p.direct, 0) = 0 AS fires,
           l.open_steps - t.closed + coalesce(p.direct, 0) AS still_open,
           l.waiting_steps + t.waiting AS now_waiting, t.*
    FROM locked l
    JOIN (SELECT run_id AS t_run_id, closed, waiting, blocked_on, account, prompt_tokens, tool_calls, input_tokens, output_tokens, cache_read_tokens,
                 cache_write_tokens, cost_usd, run_state, run_output, run_error FROM tally) t ON t.t_run_id = l.id
    LEFT JOIN spawned p ON p.run_id = l.id
), event_rows AS (
    INSERT INTO run_events (run_id, seq, type, data)
    -- The last event of a run tells its state: what its steps did comes first, and a run that fails needs no review.
    SELECT d.run_id, l.event_seq + row_number() OVER (PARTITION BY d.run_id ORDER BY starts_with(e.type, 'run.'), e.ord, e.nth),
           e.type, e.data
    FROM unnest(%(e_ord)s::bigint[], %(e_nth)s::int[], %(e_type)s::text[], %(e_data)s::text[]) AS e(ord, nth, type, data)
    JOIN done d ON d.ord = e.ord
    JOIN tally t ON t.run_id = d.run_id
    JOIN locked l ON l.id = d.run_id
    WHERE t.run_state IS DISTINCT FROM 'failed' OR e.type <> 'run.needs_review'
    RETURNING run_id
), run_rows AS (
    UPDATE runs r
    SET version = r.version + 1,
        event_seq = c.event_seq + (SELECT count(*) FROM event_rows e WHERE e.run_id = c.run_id),
        steps_total = c.steps_total + c.direct + c.fires::int,
        open_steps = CASE WHEN c.run_state IN ('succeeded', 'failed') THEN 0 ELSE c.still_open + c.fires::int END,
        waiting_steps = CASE WHEN c.run_state IN ('succeeded', 'failed') THEN 0 ELSE c.now_waiting END,
        tool_calls = r.tool_calls + c.tool_calls,
        input_tokens = r.input_tokens + c.input_tokens, output_tokens = r.output_tokens + c.output_tokens,
        cache_read_tokens = r.cache_read_tokens + c.cache_read_tokens,
        cache_write_tokens = r.cache_write_tokens + c.cache_write_tokens, cost_usd = r.cost_usd + c.cost_usd,
        state = CASE
            WHEN c.run_state IS NOT NULL THEN c.run_state
            WHEN c.state IN ('needs_review', 'paused') THEN c.state
            WHEN c.now_waiting > 0 AND c.now_waiting = c.still_open + c.fires::int THEN 'waiting'
            ELSE 'running' END,
        blocked_on = CASE
            WHEN c.run_state IS NULL AND c.state NOT IN ('needs_review', 'paused')
                 AND c.now_waiting > 0 AND c.now_waiting = c.still_open + c.fires::int
            THEN coalesce(c.blocked_on, r.blocked_on, (
                -- The last one that worked has ended: what do the others wait for?
                SELECT s.blocked_on FROM steps s WHERE s.run_id = c.run_id AND s.state = 'waiting' ORDER BY s.not_before LIMIT 1
            ), 'timer') END,
        output = c.run_output, error = coalesce(c.run_error, r.error),
        account = coalesce(c.account, r.account), prompt_tokens = coalesce(c.prompt_tokens, r.prompt_tokens),
        prompt_at = CASE WHEN c.prompt_tokens IS NULL THEN r.prompt_at ELSE agentfleet_now() END,
        started_at = coalesce(r.started_at, agentfleet_now()),
        finished_at = CASE WHEN c.run_state IN ('succeeded', 'failed') THEN agentfleet_now() END
    FROM counted c WHERE r.id = c.run_id AND r.id = ANY(%(run_id)s::uuid[])
), gate AS MATERIALIZED (  -- asked once per pool, not once per row
    SELECT pool, agentfleet_pool_open(pool, %(window)s) AS open FROM (SELECT DISTINCT pool FROM counted) AS p
), step_rows AS (
    INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, part, input, effect, state, priority,
                       ready_at, dispatched_at)
    SELECT n.id, n.run_id, c.tenant_id, c.pool, c.agent, c.steps_total + n.nth - 1, n.kind, n.name, n.turn, n.part, n.input,
           n.effect, CASE WHEN g.open AND c.state <> 'paused' THEN 'dispatched' ELSE 'ready' END, c.priority,
           agentfleet_now(), CASE WHEN g.open AND c.state <> 'paused' THEN agentfleet_now() END
    FROM follow n JOIN counted c ON c.run_id = n.run_id JOIN gate g ON g.pool = c.pool
    WHERE NOT n.joining OR (c.fires AND n.nth = 1)
    RETURNING id, run_id, pool, agent, seq, kind, name, state
)
SELECT 'settled' AS what, id::text, run_id::text, pool, NULL AS agent, NULL::int AS seq, NULL AS kind, NULL AS name, NULL AS traceparent FROM written
UNION ALL
SELECT n.state, n.id::text, n.run_id::text, n.pool, n.agent, n.seq, n.kind, n.name, c.traceparent
FROM step_rows n JOIN counted c ON c.run_id = n.run_id
UNION ALL
SELECT 'alarming', id, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM charged
