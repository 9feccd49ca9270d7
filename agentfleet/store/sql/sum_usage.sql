-- Usage: what one tenant's recent runs spent, saved and wasted, by a key and by model. Called by store.usage. Indexes:
-- runs_pkey (or that by tenant, whichever has less to read), steps_run_id_key, attempts_pkey, batch_items_pkey,
-- bundles_pkey.
-- The causes are those of domain.waste, in its order. `units` is a call in input tokens by the usual ratio of prices
-- (5 minutes' cache write 1.25, an hour's 2, read 0.1, output 5): shares of a known cost need no price table.
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
    SELECT *, input + read + write AS prompt, 1.25 * write + 0.75 * least(hour, write) AS write_units,
           input + 1.25 * write + 0.75 * least(hour, write) + 0.1 * read + 5.0 * output AS units
    FROM attempt
), seen AS (
    SELECT w.*,
           max(prompt) FILTER (WHERE outcome = 'succeed') OVER again AS known_prompt,
           max(cost_usd / nullif(units, 0)) FILTER (WHERE outcome = 'succeed') OVER again AS unit_price,
           max(units - 5.0 * output) FILTER (WHERE outcome = 'succeed') OVER again AS known_units,
           CASE WHEN outcome = 'succeed' AND units > 0 AND lag(claimed_at) OVER before
                     + CASE WHEN lag(hour) OVER before > 0 THEN interval '1 hour' ELSE interval '5 minutes' END > claimed_at
                THEN least(greatest(lag(read + write) OVER before - read, 0), input + write) ELSE 0 END AS missed
    FROM weighed w
    WINDOW again AS (PARTITION BY id),
           before AS (PARTITION BY run_id, model, outcome = 'succeed' AND units > 0 ORDER BY claimed_at)
), judged AS (
    SELECT *, CASE
        WHEN verdict IN ('crashed', 'poison') THEN 'crashed'
        WHEN outcome <> 'succeed' AND units > 0 THEN 'half_stream'
        WHEN outcome = 'cancel' AND verdict IS NULL THEN 'dropped'
        WHEN outcome <> 'succeed' AND known_units > 0
             AND (verdict = 'interrupted' OR error::jsonb ->> 'class' = 'step_timeout') THEN 'repeated'
        WHEN outcome = 'succeed' AND units > 0 AND run_state IN ('cancelled', 'expired', 'failed') THEN 'ended_run'
        WHEN missed > 0 THEN 'cache_miss'
    END AS cause
    FROM seen
), priced AS (
    SELECT id, max(unit_price) AS unit_price, max(finished_at) AS finished_at FROM seen GROUP BY id
), lost AS (
    SELECT key, model, finished_at, cause,
           CASE WHEN cause IN ('half_stream', 'ended_run') THEN prompt + output
                WHEN cause = 'cache_miss' THEN missed
                ELSE coalesce(known_prompt, input_estimate, prompt_tokens, 0) END AS tokens,
           CASE WHEN cause IN ('half_stream', 'ended_run') THEN cost_usd
                -- What should have been read was written anew as far as anything was, and else sent as it is.
                WHEN cause = 'cache_miss' THEN cost_usd / units * (
                    least(missed, write) * (write_units / greatest(write, 1) - 0.1) + greatest(missed - write, 0) * 0.9)
                ELSE coalesce(unit_price * known_units, 0) END AS cost_usd,
           CASE WHEN cause IN ('crashed', 'dropped', 'repeated') AND known_prompt IS NULL
                THEN coalesce(input_estimate, prompt_tokens, 0) ELSE 0 END AS unpriced
    FROM judged WHERE cause IS NOT NULL
    UNION ALL
    SELECT s.key, s.model, coalesce(p.finished_at, agentfleet_now()), 'spilled_batch', t.input + t.read + t.write + t.output,
           coalesce(p.unit_price, 0) * t.units, CASE WHEN p.unit_price IS NULL THEN t.units::bigint ELSE 0 END
    FROM step s
    CROSS JOIN LATERAL (SELECT s.result::jsonb #> '{result,message,usage}' AS u) AS r
    CROSS JOIN LATERAL (SELECT coalesce((r.u ->> 'input_tokens')::bigint, 0) AS input,
                               coalesce((r.u ->> 'output_tokens')::bigint, 0) AS output,
                               coalesce((r.u ->> 'cache_read_input_tokens')::bigint, 0) AS read,
                               coalesce((r.u ->> 'cache_creation_input_tokens')::bigint, 0) AS write) AS came
    CROSS JOIN LATERAL (SELECT came.*, 0.5 * (came.input + 1.25 * came.write + 0.1 * came.read + 5.0 * came.output) AS units) AS t
    LEFT JOIN priced p ON p.id = s.id
    WHERE r.u IS NOT NULL
)
(SELECT 'spent', key, model, main_model, max(finished_at)::date, NULL, count(*) FILTER (WHERE units > 0),
        sum(input)::bigint, sum(output)::bigint, sum(read)::bigint, sum(write)::bigint, sum(cost_usd),
        coalesce(sum(cost_usd * (0.9 * read - (write_units - write)) / nullif(units, 0)), 0),
        sum(answered), coalesce(sum(cost_usd) FILTER (WHERE item = 'succeeded'), 0), 0
 FROM seen GROUP BY key, model, main_model ORDER BY sum(cost_usd) DESC LIMIT %(limit)s)
UNION ALL
(SELECT 'lost', key, model, NULL, max(finished_at)::date, cause, count(*), sum(tokens)::bigint, 0, 0, 0, sum(cost_usd), 0, 0, 0,
        sum(unpriced)::bigint
 FROM lost GROUP BY key, model, cause ORDER BY sum(cost_usd) DESC LIMIT %(limit)s)
