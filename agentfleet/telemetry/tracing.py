"""Tracing: one trace per attempt of a step, linked to the trace of its run. Off, it costs a comparison and no import.

A run may last for days, and who samples traces decides after seconds: so an attempt is a trace of its own. It is linked
to the trace in which its run was accepted, and to the attempt before it; ``agentfleet.run_id`` is on every span, those
of tools' own libraries included.

Nothing that models, tools or users say is in a span, unless the process is told to (``genai``'s ``*_content``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from structlog.typing import EventDict, WrappedLogger

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.model import Claimed, Settlement
from agentfleet.domain.states import StepEvent
from agentfleet.telemetry import attributes as a
from agentfleet.telemetry.spans import NOBODY, Span

if TYPE_CHECKING:
    from agentfleet.telemetry.recording import Recorder

ERRORS = frozenset({StepEvent.RETRY, StepEvent.BURY})
"""Ends of an attempt that are errors. Waiting for the provider, a budget or a deploy is none."""

_recorder: "Recorder | None" = None


def require() -> None:
    """Raise ``InvalidInput`` when the extra ``tracing`` is not installed."""
    try:
        import agentfleet.telemetry.recording as _  # noqa: F401, PLC0415  # only who traces pays for the import
    except ImportError as error:
        missing = f"needs OpenTelemetry: pip install 'agentfleet[tracing]' ({error})"
        raise InvalidInput("AGENTFLEET_TRACING", missing) from error


def probe(within: float) -> bool:
    """Whether somebody takes spans, and says so ``within`` seconds. Raises ``InvalidInput`` as ``require`` does."""
    require()
    from agentfleet.telemetry.export import probe  # noqa: PLC0415  # as in `require`

    return probe(within)


def start(process: str, *, release: str, instance: str, content: bool = False) -> bool:
    """Trace from now on; ``False`` when that is so already. Call it after any fork, and ``stop`` at the end.

    ``content``: with what is said and given. Raises ``InvalidInput`` as ``require`` does.
    """
    global _recorder  # noqa: PLW0603  # one process, one way out
    if _recorder is not None:
        return False
    require()
    from agentfleet.telemetry.recording import Recorder  # noqa: PLC0415  # as in `require`

    _recorder = Recorder(process, release, instance, content=content)
    return True


def stop(within: float) -> None:
    """Send what is left, for at most ``within`` seconds, and trace no more."""
    global _recorder  # as in `start`
    if _recorder is not None:
        ended, _recorder = _recorder, None
        ended.close(within)


def step(claimed: Claimed) -> Span:
    """The root span of an attempt: from its claim to its settlement."""
    return NOBODY if (to := _recording()) is None else to.step(claimed)


def settling(span: Span, done: Settlement) -> None:
    """The outcome of the attempt under ``span`` is decided."""
    if span is NOBODY:
        return
    known = {a.VERDICT: done.verdict, a.BLOCKED_ON: done.blocked_on, a.RUN_STATE: done.run_state}
    outcome = {name: value for name, value in known.items() if value is not None}
    span.event(a.SETTLE)
    span.set({a.OUTCOME: done.event.value, a.COST_USD: float(done.usage.cost_usd), **outcome})
    if done.event in ERRORS:
        span.fail(done.verdict or done.event.value)


def fenced(span: Span) -> None:
    """The attempt under ``span`` was not ours any more: what it did counts for nothing."""
    span.set({a.FENCED: True})


def chat(provider: str, model: str, max_tokens: int, run_id: str) -> Span:
    """A call of a model; ``provider`` is the platform's name."""
    return NOBODY if (to := _recording()) is None else to.chat(provider, model, max_tokens, run_id)


def tool(claimed: Claimed, call_id: str) -> Span:
    """A call of a tool that is really made."""
    return NOBODY if (to := _recording()) is None else to.tool(claimed, call_id)


def accepting(route: str, headers: Mapping[str, str]) -> Span:
    """A request that submits a run, as a part of the client's trace: ``headers`` may have W3C Trace Context."""
    return NOBODY if (to := _recording()) is None else to.accepting(route, headers)


def traceparent() -> str | None:
    """The current span as W3C Trace Context; ``None`` when there is none."""
    return None if _recorder is None else _recorder.traceparent()


def name_span(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Tell in a log line under which span it is written. A structlog processor."""
    if (here := traceparent()) is not None:
        _, event["trace_id"], event["span_id"], _ = here.split("-")
    return event


def _recording() -> "Recorder | None":
    """Who records; nobody while the collector is away, either: what could not be sent is not made."""
    return None if _recorder is None or _recorder.away else _recorder
