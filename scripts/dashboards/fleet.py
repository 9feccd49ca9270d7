"""Is the fleet keeping up?"""

from scripts.dashboards.panels import Panel, q, quantile, rate

NAME, TITLE = "fleet", "Fleet"
ROWS = (
    (
        "Now",
        (
            Panel(
                "Runs accepted",
                [(f"sum by (agent) ({rate('agentfleet_runs_accepted_total')})", "{{agent}}")],
                "reqps",
                stacked=True,
                about="Answered with 202, by agent.",
            ),
            Panel(
                "Runs that ended",
                [(f"sum by (outcome) ({rate('agentfleet_runs_total')})", "{{outcome}}")],
                "ops",
                stacked=True,
            ),
            Panel(
                "Steps settled",
                [(f"sum by (pool, outcome) ({rate('agentfleet_steps_total')})", "{{pool}} {{outcome}}")],
                "ops",
                stacked=True,
            ),
        ),
    ),
    (
        "Backlog",
        (
            Panel(
                "Open steps",
                [(f"max by (pool, state) ({q('agentfleet_open_steps')})", "{{pool}} {{state}}")],
                stacked=True,
                about="Every leading reconciler reports the whole database: the maximum, not the sum.",
            ),
            Panel(
                "Age of the oldest ready step",
                [(f"max by (pool) ({q('agentfleet_oldest_ready_seconds')})", "{{pool}}")],
                "s",
                limit=300,
                about="Five minutes page, unless the provider is what binds.",
            ),
            Panel(
                "From ready to claimed",
                [
                    (quantile(0.5, "agentfleet_queue_wait_seconds", by="pool"), "{{pool}} p50"),
                    (quantile(0.99, "agentfleet_queue_wait_seconds", by="pool"), "{{pool}} p99"),
                ],
                "s",
                limit=5,
            ),
        ),
    ),
    (
        "Workers",
        (
            Panel(
                "Slots",
                [
                    (f"sum by (pool) ({q('agentfleet_slots_busy')})", "{{pool}} busy"),
                    (f"sum by (pool) ({q('agentfleet_slots')})", "{{pool}} all"),
                ],
            ),
            Panel(
                "Seconds per step",
                [(quantile(0.95, "agentfleet_step_duration_seconds", by="kind"), "{{kind}} p95")],
                "s",
            ),
            Panel(
                "Tries again",
                [(f"sum by (reason) ({rate('agentfleet_step_retries_total')})", "{{reason}}")],
                "ops",
                stacked=True,
            ),
        ),
    ),
    (
        "Releases and leaders",
        (
            Panel(
                "Processes by version",
                [(f"count by (version, python) ({q('agentfleet_build_info')})", "{{version}} on Python {{python}}")],
                stacked=True,
            ),
            Panel("Leaders", [(f"max by (duty) ({q('agentfleet_leader')})", "{{duty}}")], about="1 for every duty."),
            Panel(
                "Sent to the broker",
                [(f"sum by (path) ({rate('agentfleet_dispatched_total')})", "{{path}}")],
                "ops",
                stacked=True,
                about="fast: right after the commit that made it ready.",
            ),
        ),
    ),
)
