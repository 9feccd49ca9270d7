"""Durations that people write: ``90m``, ``6h``, ``1d12h``."""

import re

_TEXT = re.compile(r"(?:([0-9]{1,12})d)?(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?")
_SECONDS = (86_400, 3_600, 60, 1)


def parse_duration(text: str) -> float | None:
    """Seconds; ``None`` unless it is made of whole days, hours, minutes and seconds, in this order, of
    twelve digits each at most.
    """
    found = _TEXT.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        return None
    return float(sum(int(count) * unit for count, unit in zip(found.groups(), _SECONDS, strict=True) if count))
