"""From an agent to one run: what it did, attempt by attempt. The run's tables come from Postgres."""

from scripts.dashboards.panels import Panel, q, quantile, rate

NAME, TITLE = "runs", "Runs"
ABOUT = (
    "The tables below are of the run whose id is in **Run**. They ask Postgres through a data source whose user is a "
    "member of `agentfleet_fleet`: give it to people who may see every tenant. "
    "The same is at `/v1/runs/{id}` for one tenant."
)
RUN = """
SELECT id, tenant_id, agent, state, blocked_on, created_at, started_at, finished_at, steps_total, tool_calls,
       input_tokens, output_tokens, cost_usd, account, bundle_id, error
FROM runs WHERE id = nullif('${run}', '')::uuid"""
ATTEMPTS = """
SELECT s.seq, s.kind, s.name, s.state, a.attempt, a.outcome, a.verdict, a.claimed_at, a.finished_at, a.cost_usd,
       a.worker, a.release, a.error
FROM steps s LEFT JOIN attempts a ON a.step_id = s.id
WHERE s.run_id = nullif('${run}', '')::uuid ORDER BY s.seq, a.fence"""
EVENTS = """
SELECT seq, created_at, type, data FROM run_events WHERE run_id = nullif('${run}', '')::uuid ORDER BY seq"""
WAITING = 'state="waiting"'
ROWS = (
    (
        "Agents",
        (
            Panel(
                "Runs that ended",
                [(f"sum by (agent, outcome) ({rate('agentfleet_runs_total')})", "{{agent}} {{outcome}}")],
                "ops",
                stacked=True,
            ),
            Panel(
                "What was to blame",
                [(f"sum by (agent, cause) ({rate('agentfleet_run_failures_total')})", "{{agent}} {{cause}}")],
                "ops",
                stacked=True,
            ),
            Panel(
                "Tool calls",
                [(f"sum by (tool, decision) ({rate('agentfleet_tool_calls_total')})", "{{tool}} {{decision}}")],
                "ops",
                stacked=True,
            ),
            Panel(
                "Attempts",
                [(f"sum by (kind, outcome) ({rate('agentfleet_steps_total')})", "{{kind}} {{outcome}}")],
                "ops",
                stacked=True,
            ),
            Panel(
                "Seconds per attempt, p95",
                [(quantile(0.95, "agentfleet_step_duration_seconds", by="kind"), "{{kind}}")],
                "s",
            ),
            Panel("Waiting", [(f"max by (pool) ({q('agentfleet_open_steps', WAITING)})", "{{pool}}")]),
        ),
    ),
    (
        "One run",
        (
            Panel("About", text=ABOUT, width=24, height=3),
            Panel("Run", sql=RUN, width=24, height=4),
            Panel("Steps and attempts", sql=ATTEMPTS, width=24, height=10),
            Panel("Events", sql=EVENTS, width=24, height=10),
        ),
    ),
)
