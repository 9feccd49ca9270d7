"""Tracing: where spans go, and whether anybody answers there."""

from collections.abc import Iterator

from agentfleet.cli.checks.finding import Finding, ok, warn
from agentfleet.domain.errors import InvalidInput
from agentfleet.settings import Settings, environment
from agentfleet.telemetry import tracing
from agentfleet.telemetry.redaction import hide

DEFAULT = "http://localhost:4318, the default of OTEL_EXPORTER_OTLP_ENDPOINT"
SECONDS = 3.0
"""How long an answer may take."""


def check_tracing(settings: Settings) -> Iterator[Finding]:
    """One finding about traces."""
    if settings.tracing == "off":
        yield ok("traces", "off (AGENTFLEET_TRACING)")
        return
    where = environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment("OTEL_EXPORTER_OTLP_ENDPOINT")
    place = hide(where) if where else DEFAULT
    try:
        answers = tracing.probe(SECONDS)
    except InvalidInput as error:
        yield warn("traces", error.problem, "ingress and step workers do not start like this")
        return
    if answers:
        yield ok("traces", f"go to {place}")
    else:
        do = "check OTEL_EXPORTER_OTLP_ENDPOINT (OTLP over HTTP) and that a Collector runs there; runs are not affected"
        yield warn("traces", f"nobody takes them at {place}", do)
