"""Does the API keep its objectives?"""

from scripts.dashboards.panels import Panel, q, quantile, rate

NAME, TITLE = "api", "API objectives"
REQUESTS = "agentfleet_http_request_duration_seconds_count"
SUBMITS = ('route="/v1/runs"', 'method="POST"')
VALID = (*SUBMITS, 'status!~"4.."')
BROKEN = (*SUBMITS, 'status=~"5.."')
WITHIN = 'le=~"5|5.0"'
WAITED = "agentfleet_queue_wait_seconds"


def failing(window: str) -> str:
    """The share of valid submits that were not accepted, over ``window``."""
    bad = f"sum(rate({q(REQUESTS, *BROKEN)}[{window}]))"
    return f"({bad} or vector(0)) / sum(rate({q(REQUESTS, *VALID)}[{window}]))"


PROMPT = f"sum(rate({q(f'{WAITED}_bucket', WITHIN)}[30d])) / sum(rate({q(f'{WAITED}_count')}[30d]))"
ROWS = (
    (
        "Acceptance: 99.9 % of valid submits",
        (
            Panel(
                "Share of submits that were accepted, 30 days",
                [(f"1 - ({failing('30d')})", "accepted")],
                "percentunit",
                kind="stat",
                width=6,
            ),
            Panel(
                "Burn rate",
                [(f"({failing(window)}) / 0.001", window) for window in ("5m", "1h", "6h")],
                width=18,
                limit=14.4,
                about="1 spends the error budget in exactly 30 days; 14.4 over an hour and five minutes pages.",
            ),
        ),
    ),
    (
        "Dispatch: 99 % of steps within 5 s",
        (
            Panel("Share within 5 s, 30 days", [(PROMPT, "within 5 s")], "percentunit", kind="stat", width=6),
            Panel(
                "From ready to claimed",
                [
                    (quantile(level, "agentfleet_queue_wait_seconds"), f"p{level * 100:g}")
                    for level in (0.5, 0.95, 0.99)
                ],
                "s",
                width=18,
                limit=5,
            ),
        ),
    ),
    (
        "Requests",
        (
            Panel(
                "By route",
                [(f"sum by (method, route) ({rate(REQUESTS)})", "{{method}} {{route}}")],
                "reqps",
                stacked=True,
            ),
            Panel("By status", [(f"sum by (status) ({rate(REQUESTS)})", "{{status}}")], "reqps", stacked=True),
            Panel(
                "Seconds, p99",
                [
                    (
                        quantile(0.99, "agentfleet_http_request_duration_seconds", 'method="POST"', by="route"),
                        "{{route}}",
                    ),
                ],
                "s",
                about="Of POSTs: a GET may be a long poll or a stream.",
            ),
        ),
    ),
)
