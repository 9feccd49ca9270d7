"""How many workers are there, how many should there be, and what decides it?"""

from scripts.dashboards.panels import Panel, q, quantile, rate

NAME, TITLE = "autoscaler", "Autoscaler"
WANTED = 'state=~"ready|dispatched|running|waiting"'
ROWS = (
    (
        "Demand and size",
        (
            Panel(
                "Slots: wanted, allowed, there, busy",
                [
                    (f"max by (pool) ({q('agentfleet_desired_slots')})", "{{pool}} wanted"),
                    (f"max by (pool) ({q('agentfleet_provider_capacity_slots')})", "{{pool}} allowed by the provider"),
                    (f"sum by (pool) ({q('agentfleet_slots')})", "{{pool}} there"),
                    (f"sum by (pool) ({q('agentfleet_slots_busy')})", "{{pool}} busy"),
                ],
                width=12,
            ),
            Panel(
                "Workers: wanted and there",
                [
                    (f"max by (pool) ({q('agentfleet_desired_workers')})", "{{pool}} wanted"),
                    (f"count by (pool) ({q('agentfleet_slots')})", "{{pool}} there"),
                ],
                width=12,
            ),
            Panel(
                "What decides",
                [(f"max by (pool, by) ({q('agentfleet_scale_bound')}) > 0", "{{pool}}: {{by}}")],
                about="work: the backlog. provider: its limits, more workers would change nothing. max: your maximum.",
            ),
            Panel(
                "Decisions",
                [(f"sum by (pool) ({rate('agentfleet_scale_decisions_total')})", "{{pool}}")],
                "ops",
                about="None: whoever scales is blind.",
            ),
            Panel(
                "Open steps",
                [
                    (f"max by (pool, state) ({q('agentfleet_open_steps', WANTED)})", "{{pool}} {{state}}"),
                ],
                stacked=True,
            ),
        ),
    ),
    (
        "Does it help?",
        (
            Panel(
                "Age of the oldest ready step",
                [(f"max by (pool) ({q('agentfleet_oldest_ready_seconds')})", "{{pool}}")],
                "s",
                limit=10,
            ),
            Panel(
                "From ready to claimed, p95",
                [(quantile(0.95, "agentfleet_queue_wait_seconds", by="pool"), "{{pool}}")],
                "s",
                limit=5,
            ),
            Panel(
                "Steps that wait for the provider",
                [
                    (f"max by (pool, bucket) ({q('agentfleet_admission_queue')})", "{{pool}} {{bucket}}"),
                ],
                stacked=True,
                about="A growing queue here is not a reason for more workers.",
            ),
        ),
    ),
)
