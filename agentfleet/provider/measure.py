"""What model calls are counted as. ``code`` is the HTTP status, or the error's type where there is none of use."""

from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderError, StepError
from agentfleet.telemetry import metrics

ANTHROPIC = "anthropic"


def count_success(model: str, usage: Usage, first_token_seconds: float | None, platform: str = ANTHROPIC) -> None:
    """A complete turn."""
    metrics.LLM_REQUESTS.labels(platform, model, "200").inc()
    tokens = {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
    }
    for kind, count in tokens.items():
        metrics.LLM_TOKENS.labels(platform, model, kind).inc(count)
    metrics.LLM_COST.labels(platform, model).inc(float(usage.cost_usd))
    if first_token_seconds is not None:
        metrics.LLM_TTFT.labels(model).observe(first_token_seconds)


def count_failure(model: str, failure: StepError, platform: str = ANTHROPIC) -> None:
    """A call without a complete turn."""
    status = failure.status if isinstance(failure, ProviderError) else None
    kind = failure.error_type if isinstance(failure, ProviderError) else None
    code = str(status) if status not in (None, 200) else kind or type(failure).__name__
    metrics.LLM_REQUESTS.labels(platform, model, code).inc()
