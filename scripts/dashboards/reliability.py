"""Is anything broken, and does it mend itself?"""

from scripts.dashboards.panels import Panel, q, quantile, rate

NAME, TITLE = "reliability", "Reliability"


def total(title: str, metric: str, by: str = "", about: str = "") -> Panel:
    """The rate of a counter, in all or by a label."""
    legend = "{{" + by + "}}" if by else title
    group = f" by ({by})" if by else ""
    return Panel(title, [(f"sum{group} ({rate(metric)})", legend)], "ops", width=6, stacked=bool(by), about=about)


ROWS = (
    (
        "Leases and fences",
        (
            Panel(
                "Expired leases",
                [(f"max({q('agentfleet_lease_expired')})", "expired")],
                width=6,
                limit=1,
                about="At the last look of the reconciler; they should be gone at the next.",
            ),
            total("Rescued steps", "agentfleet_reconciler_rescued_total", about="Their workers died."),
            total(
                "Leases lost", "agentfleet_leases_lost_total", about="Workers that were cut off gave up their steps."
            ),
            total("Fenced results", "agentfleet_fence_rejections_total", about="Somebody else had the step by then."),
        ),
    ),
    (
        "Messages",
        (
            Panel(
                "Outbox lag",
                [(f"max by (pool) ({q('agentfleet_outbox_lag_seconds')})", "{{pool}}")],
                "s",
                width=6,
                limit=30,
            ),
            total("Sent again", "agentfleet_reconciler_republished_total", "reason"),
            total(
                "Not sent", "agentfleet_publish_failures_total", about="Redis away or full; Postgres sends them again."
            ),
            total("Stale messages", "agentfleet_stale_messages_total", about="Duplicates and late ones: no-ops."),
        ),
    ),
    (
        "What was given up on",
        (
            Panel("Open dead letters", [(f"max({q('agentfleet_dead_letters_open')})", "open")], width=6),
            total("Dead letters", "agentfleet_dlq_total", "reason"),
            total("Runs that failed", "agentfleet_run_failures_total", "cause"),
            total(
                "Unclassified errors",
                "agentfleet_unclassified_errors_total",
                "error",
                "No row in the verdict table: please report them.",
            ),
        ),
    ),
    (
        "Duties",
        (
            Panel("Leaders", [(f"max by (duty) ({q('agentfleet_leader')})", "{{duty}}")], width=6),
            total("Rounds", "agentfleet_duty_rounds_total", "duty"),
            total("Promoted", "agentfleet_reconciler_promoted_total", about="Waiting steps that became due."),
            total("Deaf workers", "agentfleet_consumer_stuck_total", about="Zero; anything else is a bug."),
        ),
    ),
    (
        "Recovery and servers",
        (
            Panel(
                "From the end of a lease to its rescue",
                [
                    (quantile(0.5, "agentfleet_run_recovery_seconds"), "p50"),
                    (quantile(0.99, "agentfleet_run_recovery_seconds"), "p99"),
                ],
                "s",
                width=6,
                limit=60,
            ),
            Panel(
                "Redis memory",
                [(f"max by (state) ({q('agentfleet_redis_memory_bytes')})", "{{state}}")],
                "bytes",
                width=6,
            ),
            Panel(
                "Postgres connections",
                [(f"max by (state) ({q('agentfleet_postgres_connections')})", "{{state}}")],
                width=6,
            ),
            Panel("Open alerts", [(f"max by (kind) ({q('agentfleet_alerts_open')})", "{{kind}}")], width=6),
            total("Alerts told", "agentfleet_webhook_deliveries_total", "outcome"),
            Panel("A Redis that evicts", [(f"max({q('agentfleet_redis_evicts')})", "evicts")], width=6, limit=1),
            Panel(
                "Silence of consumers",
                [(f"max({q('agentfleet_consumer_silence_ratio')})", "of what is tolerated")],
                "percentunit",
                width=6,
                limit=1,
            ),
        ),
    ),
)
