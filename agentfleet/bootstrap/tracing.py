"""Tracing, from the settings."""

from collections.abc import Generator
from contextlib import contextmanager

from agentfleet.engine.ports import Reasoner
from agentfleet.provider.traced import TracedReasoner
from agentfleet.settings import Settings
from agentfleet.telemetry import metrics, tracing

LAST_SPANS = 2.0
"""Seconds that sending what is left may take at the end of a process."""


@contextmanager
def traced(settings: Settings, process: str, instance: str) -> Generator[None]:
    """Trace inside, if AGENTFLEET_TRACING says so. Open it after any fork.

    Raises ``InvalidInput`` when the extra ``tracing`` is not installed.
    """
    release = settings.release or metrics.running_version()
    if settings.tracing == "off" or not tracing.start(
        process, release=release, instance=instance, content=settings.tracing_content
    ):
        yield
        return
    try:
        yield
    finally:
        tracing.stop(LAST_SPANS)


def with_spans(reasoner: Reasoner, provider: str) -> Reasoner:
    """``reasoner``, whose calls are spans: ours makes them itself, one of your own does not."""
    return reasoner if provider == "anthropic" else TracedReasoner(reasoner, provider)
