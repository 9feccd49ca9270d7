"""Is the provider used to the last token, and what does it cost?"""

from scripts.dashboards.panels import Panel, q, quantile, rate

NAME, TITLE = "provider", "Provider and cost"
CODE_429 = 'code="429"'
TOKENS = f"60 * sum by (model, type) ({rate('agentfleet_llm_tokens_total')})"
CALLS = "agentfleet_llm_requests_total"
REFUSED = f"sum by (model) ({rate(CALLS, CODE_429)}) / sum by (model) ({rate(CALLS)})"
ROWS = (
    (
        "Limits",
        (
            Panel("Tokens a minute", [(TOKENS, "{{model}} {{type}}")], about="As billed; beside it the limits."),
            Panel(
                "Limits a minute",
                [
                    (f"max by (bucket, axis) ({q('agentfleet_bucket_limit_per_minute')})", "{{bucket}} {{axis}}"),
                ],
            ),
            Panel(
                "Steps that wait for room",
                [
                    (f"max by (pool, bucket) ({q('agentfleet_admission_queue')})", "{{pool}} {{bucket}}"),
                ],
                stacked=True,
            ),
            Panel(
                "Asked for room",
                [
                    (f"sum by (bucket, decision) ({rate('agentfleet_admissions_total')})", "{{bucket}} {{decision}}"),
                ],
                "ops",
                stacked=True,
            ),
            Panel(
                "Refused with 429",
                [(REFUSED, "{{model}}")],
                "percentunit",
                limit=0.1,
                about="More than one in a thousand: somebody else uses the account, too.",
            ),
            Panel(
                "Answers by code",
                [(f"sum by (code) ({rate('agentfleet_llm_requests_total')})", "{{code}}")],
                "ops",
                stacked=True,
            ),
        ),
    ),
    (
        "Accounts and connections",
        (
            Panel(
                "Parked accounts", [(f"max by (account) ({q('agentfleet_account_parked')})", "{{account}}")], limit=1
            ),
            Panel(
                "Seconds to the first token",
                [
                    (quantile(0.5, "agentfleet_llm_ttft_seconds", by="model"), "{{model}} p50"),
                    (quantile(0.95, "agentfleet_llm_ttft_seconds", by="model"), "{{model}} p95"),
                ],
                "s",
            ),
            Panel("Connections", [(f"sum by (state) ({q('agentfleet_provider_connections')})", "{{state}}")]),
        ),
    ),
    (
        "Cost",
        (
            Panel(
                "Dollars an hour",
                [(f"3600 * sum by (model) ({rate('agentfleet_llm_cost_usd_total')})", "{{model}}")],
                "currencyUSD",
                stacked=True,
            ),
            Panel(
                "Dollars an hour that bought nothing",
                [
                    (f"3600 * sum by (cause) ({rate('agentfleet_wasted_usd_total')})", "{{cause}}"),
                ],
                "currencyUSD",
                stacked=True,
                about="What is known at once; `agentfleet usage` knows all of it.",
            ),
            Panel(
                "Tokens that bought nothing",
                [
                    (f"60 * sum by (cause) ({rate('agentfleet_wasted_tokens_total')})", "{{cause}}"),
                ],
                stacked=True,
                about="A minute.",
            ),
            Panel(
                "Prompt cache",
                [
                    (f"60 * sum by (result) ({rate('agentfleet_prompt_cache_tokens_total')})", "{{result}}"),
                ],
                stacked=True,
                about="Tokens a minute: read, written, or missed although they should have been there.",
            ),
            Panel(
                "Answers used again",
                [
                    (f"sum by (kind, result) ({rate('agentfleet_response_cache_total')})", "{{kind}} {{result}}"),
                ],
                "ops",
                stacked=True,
            ),
            Panel(
                "Budgets",
                [
                    (f"sum({rate('agentfleet_budget_blocks_total')})", "steps that wait for a budget"),
                    (f"sum by (scope) ({rate('agentfleet_budget_alerts_total')})", "four fifths used: {{scope}}"),
                ],
                "ops",
            ),
        ),
    ),
    (
        "Batches",
        (
            Panel("Open batches", [(f"max({q('agentfleet_batches_open')})", "open")], width=6),
            Panel(
                "Age of the oldest",
                [(f"max({q('agentfleet_batch_age_seconds')})", "oldest")],
                "s",
                width=6,
                limit=86_400,
            ),
            Panel(
                "Calls in batches",
                [(f"sum by (outcome) ({rate('agentfleet_batch_items_total')})", "{{outcome}}")],
                "ops",
                width=12,
                stacked=True,
            ),
        ),
    ),
)
