"""How long a client keeps trying while the API cannot be reached."""

import time
from typing import Final

FIRST_PAUSE: Final = 0.1
"""Seconds; doubles with every further failure in a row."""
LONGEST_PAUSE: Final = 5.0


class Patience:
    """One string of failures. It is over after ``seconds``; the next try is due after ``pause()``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """Something went well: the string has ended."""
        self._failures = 0
        self._until: float | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the string of failures has lasted too long; the first failure begins it."""
        now = time.monotonic()
        self._until = now + self._seconds if self._until is None else self._until
        return now >= self._until

    def pause(self, retry_after: str | None = None) -> float:
        """Seconds until the next try; what the server asks for, within reason."""
        asked = (
            float(retry_after) if retry_after and retry_after.isdigit() else FIRST_PAUSE * 2 ** min(self._failures, 10)
        )
        self._failures += 1
        return min(asked, LONGEST_PAUSE)
