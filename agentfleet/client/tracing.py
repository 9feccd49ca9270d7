"""The client's part in a trace: what it submits continues the caller's."""

import sys


def trace_headers() -> dict[str, str]:
    """W3C Trace Context of the caller's current span; none when this process does not use OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:  # nobody can have made a span
        return {}
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415  # it need not be installed

    headers = dict[str, str]()
    tracecontext.TraceContextTextMapPropagator().inject(headers)
    return headers
