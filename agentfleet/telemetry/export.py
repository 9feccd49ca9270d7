"""Where spans go: OTLP over HTTP, in batches, from a bounded queue. What does not fit or cannot be sent is dropped.

The standard variables hold: OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
OTEL_TRACES_SAMPLER. Needs the extra ``tracing``: import it only when tracing is on.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

import structlog
from opentelemetry import trace
from opentelemetry.context import Context, get_value
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

log = structlog.get_logger("agentfleet.tracing")

SLOW = 2.0
"""Seconds after which a collector that has not answered counts as away."""
PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds for which it is left alone after the first failure in a row, the second, and so on."""
THEIR_LOGGERS = ("opentelemetry.sdk._shared_internal", "opentelemetry.exporter")
"""They write a line for each lost span and each failed request; we write one for all."""
NAMED: ContextVar[tuple[int, int] | None] = ContextVar("agentfleet_root", default=None)
"""The trace id and the span id of the root span that is being started."""
WHOSE = "agentfleet-whose"
"""The key, in OpenTelemetry's context, of the attributes that every span under it gets."""


def probe(within: float) -> bool:
    """Whether somebody takes spans where they would go, and says so ``within`` seconds: it is sent none."""
    quieten()
    return OTLPSpanExporter(timeout=within).export(()) is SpanExportResult.SUCCESS


def quieten() -> None:
    """Leave what OpenTelemetry would write to us."""
    for name in THEIR_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class PatientExporter(SpanExporter):
    """Sends through ``inner``. A collector that does not answer is left alone for a while, and told of once."""

    def __init__(self, inner: SpanExporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._failures = 0
        self._dropped = 0
        self._again_at = self._sending_since = float("-inf")
        self._sending = False

    @property
    def away(self) -> bool:
        """Whether a span that is made now would be lost, as far as anybody knows: after a failure until one is sent."""
        now = self._clock()
        doubtful = self._sending and (self._failures > 0 or now > self._sending_since + SLOW)
        return doubtful or now < self._again_at

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them, or drop them."""
        if self._clock() < self._again_at:
            self._dropped += len(spans)
            return SpanExportResult.FAILURE
        self._sending_since, self._sending = self._clock(), True
        try:
            result = self._inner.export(spans)
        finally:
            self._sending = False
        if result is SpanExportResult.SUCCESS:
            self._came_back()
        else:
            self._dropped += len(spans)
            self._went_away()
        return result

    def shutdown(self) -> None:
        """Give up what is on its way."""
        self._again_at = float("inf")
        self._inner.shutdown()

    def _went_away(self) -> None:
        if not self._failures:
            log.warning("traces_not_sent", remedy="see `agentfleet doctor`; nothing else is affected")
        self._again_at = max(self._again_at, self._clock() + PAUSES[min(self._failures, len(PAUSES) - 1)])
        self._failures += 1

    def _came_back(self) -> None:
        if self._failures:
            log.info("traces_sent_again", dropped=self._dropped)
            self._failures = self._dropped = 0


class Exporting:
    """The way out of one process: ``provider`` makes tracers. It is the global one, too, unless there is one."""

    def __init__(self, process: str, release: str, instance: str) -> None:
        quieten()
        self._exporter = PatientExporter(OTLPSpanExporter())
        ours = {
            "service.name": f"agentfleet-{process}",
            "service.version": release,
            "service.instance.id": instance,
        }
        resource = Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        self.provider.add_span_processor(_Whose())
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self.provider)  # tools' own libraries make spans with it

    @property
    def away(self) -> bool:
        """Whether the collector does not answer."""
        return self._exporter.away

    def close(self, within: float) -> None:
        """Send what is left, if that takes no longer than ``within`` seconds."""
        if self.away:  # what is under way would only be waited for
            self._exporter.shutdown()
            within = 0.0
        closing = threading.Thread(target=self.provider.shutdown, name="agentfleet-traces", daemon=True)
        closing.start()
        closing.join(within)
        if closing.is_alive():
            self._exporter.shutdown()


class _Ids(RandomIdGenerator):
    """Random, but for root spans that have names of their own."""

    def generate_trace_id(self) -> int:
        named = NAMED.get()
        return super().generate_trace_id() if named is None else named[0]

    def generate_span_id(self) -> int:
        named = NAMED.get()
        return super().generate_span_id() if named is None else named[1]


class _Whose(SpanProcessor):
    """Says on every span whose work it is."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        whose = get_value(WHOSE, parent_context)
        if whose is not None:
            span.set_attributes(cast("Mapping[str, Any]", whose))
