"""What the provider's prompt cache did for one call, and what it should have done."""

from agentfleet.domain.budget import Usage
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.body import LONG_GAP, cache_ttl
from agentfleet.telemetry import metrics

ALWAYS_CACHED = 4_096
"""Tokens of a prompt that every current model caches; some take shorter ones."""
BYTES_PER_TOKEN = 2
"""Fewer than any text has: the last answer must not be taken for a part of the last prompt."""


def count_prompt_cache(request: ReasonRequest, model: str, usage: Usage) -> None:
    """A complete turn."""
    tokens = {
        "read": usage.cache_read_tokens,
        "written": usage.cache_write_tokens,
        "missed": missed_tokens(request, usage),
    }
    for result, count in tokens.items():
        metrics.PROMPT_CACHE.labels(model, result).inc(count)


def missed_tokens(request: ReasonRequest, usage: Usage) -> int:
    """Tokens that the run's last call had left in the cache, moments ago, and that this call paid in full.

    A lower bound: how long the last answer was, which nobody had cached yet, is guessed on the safe side.
    """
    age, last = request.prompt_age, request.prompt_tokens
    if cache_ttl(request) is None or age is None or last is None or age > LONG_GAP:
        return 0
    prompt = usage.context_tokens - usage.output_tokens
    left = min(last - _last_answer(request), prompt)
    return max(0, left - usage.cache_read_tokens) if left >= ALWAYS_CACHED else 0


def _last_answer(request: ReasonRequest) -> int:
    """Its tokens, rather too many."""
    turn = max((m.turn for m in request.conversation if m.role == "assistant"), default=None)
    return sum(len(m.content.encode()) for m in request.conversation if m.turn == turn) // BYTES_PER_TOKEN
