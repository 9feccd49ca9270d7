"""Spans of model calls: what they say, and those of a reasoner that makes none itself."""

from collections.abc import Callable

from agentfleet.engine.ports import Reasoned, Reasoner, ReasonRequest
from agentfleet.telemetry import attributes as a
from agentfleet.telemetry import genai, tracing
from agentfleet.telemetry.spans import NOBODY, Span


def chat(request: ReasonRequest, provider: str) -> Span:
    """The span of one call of ``provider``."""
    span = tracing.chat(provider, request.model, request.max_tokens, request.run_id)
    if span.content:
        span.set(genai.asked_content(request.conversation))
    return span


def tell(
    span: Span,
    reasoned: Reasoned,
    *,
    model: str | None = None,
    message_id: str | None = None,
    first_chunk: float | None = None,
) -> None:
    """Tell of the answer: who gave it, why it ended, what it cost."""
    if span is NOBODY:
        return
    turn = reasoned.turn
    said = genai.answered(turn.stop_reason, reasoned.usage, model=model, message_id=message_id, first_chunk=first_chunk)
    ours = {a.COST_USD: float(reasoned.usage.cost_usd), a.REQUEST_ID: reasoned.request_id or ""}
    span.set({**said, **ours})
    if span.content:
        span.set(genai.answered_content(turn.content))


class TracedReasoner:
    """One of your own, ``name``; every call of it is a span. Implements ``engine.ports.Reasoner``."""

    def __init__(self, inner: Reasoner, name: str) -> None:
        self._inner, self._name = inner, name

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        """What ``inner`` answers; raises what it raises."""
        with chat(request, self._name) as span:
            reasoned = await self._inner.reason(request, on_text)
            tell(span, reasoned)
            return reasoned

    async def close(self) -> None:
        """Close ``inner``."""
        await self._inner.close()
