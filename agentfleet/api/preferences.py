"""``Prefer: wait=N`` (RFC 7240): how long we may wait for the end of a run. What is not understood is ignored."""

import re
from typing import Final

WAIT: Final = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


def wait_seconds(header: str | None, max_wait: float) -> int | None:
    """Whole seconds to wait, at most ``max_wait``; ``None`` when the client did not ask."""
    for preference in (header or "").split(","):
        if found := WAIT.fullmatch(preference):
            return min(int(found[1]), int(max_wait))
    return None


def applied(seconds: int | None) -> dict[str, str]:
    """The header that says so."""
    return {} if seconds is None else {"Preference-Applied": f"wait={seconds}"}
