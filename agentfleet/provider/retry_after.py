"""When the provider says to come back. Clocks differ, so its dates are compared with its own ``date`` header."""

import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 86_400.0
"""Whatever it says, look again tomorrow: that costs one refused call."""

_BUCKETS = ("requests", "input-tokens", "output-tokens", "tokens")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from ``retry-after-ms``, ``retry-after`` (seconds or date), else from the empty buckets' resets."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        seconds = _until(_http_date(value), headers)
    if seconds is None:
        resets = [
            _until(_rfc3339(headers.get(f"anthropic-ratelimit-{name}-reset")), headers) for name in _empty(headers)
        ]
        seconds = max((reset for reset in resets if reset is not None), default=None)
    return None if seconds is None else _bounded(seconds)


def _empty(headers: Mapping[str, str]) -> list[str]:
    return [name for name in _BUCKETS if _number(headers.get(f"anthropic-ratelimit-{name}-remaining")) == 0]


def _until(then: datetime | None, headers: Mapping[str, str]) -> float | None:
    now = _http_date(headers.get("date"))
    return None if then is None or now is None else (then - now).total_seconds()


def _http_date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text).astimezone()
    except ValueError:
        return None


def _rfc3339(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone()
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        value = math.nan if text is None else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_SECONDS)
