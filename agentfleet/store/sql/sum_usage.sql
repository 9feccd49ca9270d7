-- Usage: what one tenant's recent runs spent, saved and wasted, by a key and by model. Called by store.usage. Indexes:
-- runs_pkey (or that by tenant, whichever has less to read), steps_run_id_key, attempts_pkey, batch_items_pkey,
-- bundles_pkey.
-- The causes are those of domain.waste, in its order; dollars are its business, too: here are the tokens to reckon with.
-- Run ids are UUIDv7, so the runs since a moment are a range of their index.
WITH chosen AS MATERIALIZED (
    SELECT r.id, r.bundle_id, r.state, r.prompt_tokens,
           CASE %(by)s WHEN 'tenant' THEN r.tenant_id WHEN 'agent' THEN r.agent WHEN 'bundle' THEN r.bundle_id
                       WHEN 'day' THEN to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') END AS key
    FROM runs r
    WHERE r.tenant_id = %(tenant_id)s
      AND r.id >= (lpad(to_hex((extract(epoch FROM agentfleet_now() - make_interval(secs => %(since)s::float8)) * 1000)::bigint),
                        12, '0') || '70008000000000000000')::uuid
), bundle AS MATERIALIZED (
    SELECT b.id, coalesce(b.spec::jsonb ->> 'model', '') AS model FROM bundles b
    WHERE b.id = ANY(ARRAY(SELECT DISTINCT bundle_id FROM chosen))
), step AS (
    SELECT c.id AS run_id, c.state AS run_state, c.prompt_tokens, coalesce(c.key, s.name) AS key, b.model AS main_model,
           s.id, s.name AS model, s.input_estimate, i.state AS item,
           CASE WHEN i.state = 'spilled' THEN i.result END AS result
    FROM chosen c
    JOIN bundle b ON b.id = c.bundle_id
    CROSS JOIN LATERAL (SELECT * FROM steps s WHERE s.run_id = c.id AND s.kind = 'reason' OFFSET 0) AS s
    LEFT JOIN batch_items i ON i.step_id = s.id
), attempt AS (
    SELECT s.run_id, s.run_state, s.prompt_tokens, s.key, s.main_model, s.id, s.model, s.input_estimate, s.item,
           a.outcome, a.verdict, a.error, a.cost_usd, a.claimed_at, a.finished_at,
           coalesce((a.u ->> 'input_tokens')::bigint, 0) AS input,
           coalesce((a.u ->> 'output_tokens')::bigint, 0) AS output,
           coalesce((a.u ->> 'cache_read_input_tokens')::bigint, 0) AS read,
           coalesce((a.u ->> 'cache_creation_input_tokens')::bigint, 0) AS write,
           coalesce((a.u -> 'cache_creation' ->> 'ephemeral_1h_input_tokens')::bigint, 0) AS hour,
           coalesce((a.u -> 'agentfleet' ->> 'saved_usd')::numeric, 0) AS answered
    FROM step s
    CROSS JOIN LATERAL (SELECT *, coalesce(usage, '{}')::jsonb AS u FROM attempts WHERE step_id = s.id OFFSET 0) AS a
), weighed AS (
    SELECT *, input + read + write AS prompt, input + read + write + output > 0 AS paid,
           outcome = 'succeed' AND input + read + write + output > 0 AS answer
    FROM attempt
), seen AS (
    SELECT w.*,
           bool_or(answer) OVER again AS known, max(cost_usd) FILTER (WHERE answer) OVER again AS known_cost,
           max(input) FILTER (WHERE answer) OVER again AS known_input,
           max(output) FILTER (WHERE answer) OVER again AS known_output,
           max(read) FILTER (WHERE answer) OVER again AS known_read,
           max(write) FILTER (WHERE answer) OVER again AS known_write,
           max(hour) FILTER (WHERE answer) OVER again AS known_hour,
           CASE WHEN answer AND lag(claimed_at) OVER before
                     + CASE WHEN lag(hour) OVER before > 0 THEN interval '1 hour' ELSE interval '5 minutes' END > claimed_at
                THEN least(greatest(lag(read + write) OVER before - read, 0), input + write) ELSE 0 END AS missed
    FROM weighed w
    WINDOW again AS (PARTITION BY id), before AS (PARTITION BY run_id, model, answer ORDER BY claimed_at)
), judged AS (
    SELECT *, CASE
        WHEN verdict IN ('crashed', 'poison') THEN 'crashed'
        WHEN outcome <> 'succeed' AND paid THEN 'half_stream'
        WHEN outcome = 'cancel' AND verdict IS NULL THEN 'dropped'
        WHEN outcome <> 'succeed' AND known AND (verdict = 'interrupted' OR error::jsonb ->> 'class' = 'step_timeout')
            THEN 'repeated'
        WHEN answer AND run_state IN ('cancelled', 'expired', 'failed') THEN 'ended_run'
        WHEN missed > 0 THEN 'cache_miss'
    END AS cause
    FROM seen
), lost AS (
    -- What is known of the call itself.
    SELECT key, model, finished_at, cause, CASE WHEN cause = 'cache_miss' THEN missed ELSE prompt + output END AS tokens,
           1 AS known, cost_usd, input, output, read, write, hour,
           least(missed, write) AS missed_write, missed - least(missed, write) AS missed_input, 0 AS guessed
    FROM judged WHERE cause IN ('half_stream', 'ended_run', 'cache_miss')
    UNION ALL
    -- Of the call that was made instead; else of its prompt.
    SELECT key, model, finished_at, cause,
           CASE WHEN known THEN known_input + known_read + known_write ELSE coalesce(input_estimate, prompt_tokens, 0) END,
           known::int, coalesce(known_cost, 0), coalesce(known_input, 0), coalesce(known_output, 0), coalesce(known_read, 0),
           coalesce(known_write, 0), coalesce(known_hour, 0), 0, 0,
           CASE WHEN known THEN 0 ELSE coalesce(input_estimate, prompt_tokens, 0) END
    FROM judged WHERE cause IN ('crashed', 'dropped', 'repeated')
    UNION ALL
    SELECT s.key, s.model, agentfleet_now(), 'spilled_batch', t.input + t.output + t.read + t.write,
           1, 0, t.input, t.output, t.read, t.write, t.hour, 0, 0, 0
    FROM step s
    CROSS JOIN LATERAL (SELECT s.result::jsonb #> '{result,message,usage}' AS u) AS r
    CROSS JOIN LATERAL (
        SELECT coalesce((r.u ->> 'input_tokens')::bigint, 0) AS input,
               coalesce((r.u ->> 'output_tokens')::bigint, 0) AS output,
               coalesce((r.u ->> 'cache_read_input_tokens')::bigint, 0) AS read,
               coalesce((r.u ->> 'cache_creation_input_tokens')::bigint, 0) AS write,
               coalesce((r.u -> 'cache_creation' ->> 'ephemeral_1h_input_tokens')::bigint, 0) AS hour
    ) AS t
    WHERE r.u IS NOT NULL
)
(SELECT 'spent', key, model, main_model, max(finished_at)::date, count(*) FILTER (WHERE paid), sum(cost_usd), sum(input)::bigint,
        sum(output)::bigint, sum(read)::bigint, sum(write)::bigint, sum(hour)::bigint, sum(answered),
        coalesce(sum(cost_usd) FILTER (WHERE item = 'succeeded'), 0), NULL, 0, 0, 0, 0, 0
 FROM seen GROUP BY key, model, main_model ORDER BY sum(cost_usd) DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'lost', key, model, NULL, max(finished_at)::date, sum(known), sum(cost_usd), sum(input)::bigint, sum(output)::bigint,
        sum(read)::bigint, sum(write)::bigint, sum(hour)::bigint, 0, 0, cause, count(*), sum(tokens)::bigint,
        sum(missed_input)::bigint, sum(missed_write)::bigint, sum(guessed)::bigint
 FROM lost GROUP BY key, model, cause ORDER BY sum(tokens) DESC LIMIT %(limit)s)
