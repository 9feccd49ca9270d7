"""Durations that people write: ``90m``, ``6h``, ``1d12h``."""

import re

_TEXT = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS = (86_400, 3_600, 60, 1)


def parse_duration(text: str) -> float | None:
    """Seconds; ``None`` unless it is made of whole days, hours, minutes and seconds, in this order."""
    found = _TEXT.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        return None
    return float(sum(int(count) * unit for count, unit in zip(found.groups(), _SECONDS, strict=True) if count))
