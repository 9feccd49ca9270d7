"""Logging: one JSON object a line, the same for our code and every library's. Nothing secret in it.

A worker binds ``run_id``, ``step_id``, ``tenant_id``, ``attempt`` and ``trace_id`` when it claims, so every line that
is written under a step says whose it is. While a span is current, ``trace_id`` and ``span_id`` are the span's.
"""

import logging
import sys
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from agentfleet.telemetry.redaction import hide_field
from agentfleet.telemetry.tracing import name_span

CHATTY = ("uvicorn.access", "kombu", "amqp", "httpx2", "httpcore2", "anthropic", "asyncio", "alembic")
"""Loggers that say at info what belongs into debug, such as every request."""


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide secrets by field name and by shape, at any depth."""
    return {key: hide_field(key, value) for key, value in event.items()}


def _dumps(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(level: str = "info", fmt: str = "json", *, process: str) -> None:
    """Send everything, the standard library's records included, to stderr in one format. Call once per process."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_span,
        lambda _logger, _method, event: {"process": process, **event},  # not a context variable: threads have their own
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    last: list[Processor] = [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer(_dumps)]
    if fmt == "console":
        plain = structlog.dev.plain_traceback  # the rich one prints local variables, and secrets live in those
        last = [
            redact,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="ts", exception_formatter=plain),
        ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "kombu"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught ends the process: with a line like any other."""
    if not issubclass(kind, KeyboardInterrupt):
        structlog.get_logger("agentfleet.process").critical("crashed", exc_info=(kind, error, trace))
