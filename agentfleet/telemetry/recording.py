"""Spans that are recorded, with OpenTelemetry. Needs the extra ``tracing``: import it only when tracing is on."""

import hashlib
from collections.abc import Mapping
from contextvars import Token
from typing import Any, Self

from opentelemetry.context import Context, attach, detach, set_value
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as Recorded
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentfleet.domain.errors import StepError
from agentfleet.domain.model import Claimed
from agentfleet.domain.verdicts import classify
from agentfleet.telemetry import attributes as a
from agentfleet.telemetry import genai
from agentfleet.telemetry.export import NAMED, WHOSE, Exporting
from agentfleet.telemetry.spans import NOBODY, Span

SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Recorder:
    """Makes the spans of one process. ``content``: with what is said and given."""

    def __init__(self, process: str, release: str, instance: str, *, content: bool) -> None:
        self._exporting, self._content = Exporting(process, release, instance), content
        self._tracer = self._exporting.provider.get_tracer("agentfleet", release)

    @property
    def away(self) -> bool:
        """Whether the collector does not answer."""
        return self._exporting.away

    def close(self, within: float) -> None:
        """Send what is left, for at most ``within`` seconds."""
        self._exporting.close(within)

    def step(self, claimed: Claimed) -> Span:
        """The root span of an attempt. What it says of whose work it is, all spans under it say, too."""
        whose = {
            a.RUN_ID: claimed.run_id,
            a.STEP_ID: claimed.step_id,
            a.SEQ: claimed.seq,
            a.ATTEMPT: claimed.attempt,
            a.AGENT: claimed.agent,
            a.POOL: claimed.pool,
        }
        said = {
            **genai.invoke_agent(claimed.agent, claimed.run_id, claimed.bundle_id),
            a.KIND: claimed.kind.value,
            a.NAME: claimed.name,
            a.TENANT_ID: claimed.tenant_id,
            a.FENCE: claimed.fence,
            a.QUEUE_WAIT: claimed.queue_wait,
        }
        context = set_value(WHOSE, whose, Context())
        named = NAMED.set(root_of(claimed.step_id, claimed.fence))
        try:
            name = f"{genai.INVOKE_AGENT} {claimed.agent}"
            return Live(self._tracer.start_span(name, context, attributes=said, links=_links(claimed)), context)
        finally:
            NAMED.reset(named)

    def chat(self, provider: str, model: str, max_tokens: int, run_id: str) -> Span:
        """A call of a model."""
        return self._child(
            f"{genai.CHAT} {model}", genai.chat(provider, model, max_tokens, run_id), kind=SpanKind.CLIENT
        )

    def tool(self, claimed: Claimed, call_id: str) -> Span:
        """A call of a tool."""
        said = {**genai.execute_tool(claimed.name, call_id, claimed.run_id), a.EFFECT: claimed.effect or ""}
        return self._child(f"{genai.EXECUTE_TOOL} {claimed.name}", said, kind=SpanKind.INTERNAL)

    def accepting(self, route: str, headers: Mapping[str, str]) -> Span:
        """A request that submits a run."""
        given = {name: value for name in ("traceparent", "tracestate") if (value := headers.get(name)) is not None}
        context = TraceContextTextMapPropagator().extract(given, Context())
        method, _, path = route.partition(" ")
        said = {a.HTTP_METHOD: method, a.HTTP_ROUTE: path}
        return Live(self._tracer.start_span(route, context, SpanKind.SERVER, said), context)

    def traceparent(self) -> str | None:
        """The current span as W3C Trace Context."""
        here = get_current_span().get_span_context()
        return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}" if here.is_valid else None

    def _child(self, name: str, said: Mapping[str, Any], *, kind: SpanKind) -> Span:
        """Nobody's, where the span above is not recorded."""
        if not get_current_span().is_recording():
            return NOBODY
        return Live(self._tracer.start_span(name, kind=kind, attributes=said), content=self._content)


class Live(Span):
    """Recorded; inside its ``with`` it is the current span, in threads that copy the context, too."""

    def __init__(self, span: Recorded, context: Context | None = None, *, content: bool = False) -> None:
        self._span, self._context, self.content = span, context, content
        self._token: Token[Context] | None = None
        self._told = False

    def set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(attributes)

    def event(self, name: str) -> None:
        self._span.add_event(name)

    def fail(self, error_type: str) -> None:
        self._told = True
        self._span.set_attribute(a.ERROR_TYPE, error_type)
        self._span.set_status(StatusCode.ERROR)

    def answer(self, status: int, code: str) -> None:
        self._told = True
        self._span.set_attribute(a.HTTP_STATUS, status)
        if status >= 500:
            self.fail(code)

    def __enter__(self) -> Self:
        self._token = attach(set_span_in_context(self._span, self._context))
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None and not self._told:
            self.fail(classify(error).value if isinstance(error, StepError) else type(error).__name__)
        if self._token is not None:
            detach(self._token)
        self._span.end()


def root_of(step_id: str, fence: int) -> tuple[int, int]:
    """The trace id and the span id of an attempt: they follow from its step and fence, so nobody has to store them."""
    digest = hashlib.sha256(f"{step_id}/{fence}".encode()).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")


def _links(claimed: Claimed) -> list[Link]:
    links = list[Link]()
    if claimed.traceparent is not None:
        _, trace_id, span_id, flags = claimed.traceparent.split("-")[:4]
        run = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
        links.append(Link(run, {a.LINK: "run"}))
    if claimed.fence > 1:
        before = SpanContext(*root_of(claimed.step_id, claimed.fence - 1), is_remote=True, trace_flags=SAMPLED)
        links.append(Link(before, {a.LINK: "attempt_before"}))
    return links
