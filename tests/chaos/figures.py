"""What the chaos tests measure. A test never fails for a time: it notes it, and ``tests.chaos.report`` compares.

``AGENTFLEET_CHAOS=nightly`` makes the tests large enough to prove their gates; ``AGENTFLEET_CHAOS_FIGURES`` is the file
that gets one JSON line per note.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def nightly() -> bool:
    """Whether there is time to prove every gate figure."""
    return os.environ.get("AGENTFLEET_CHAOS") == "nightly"


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


class Figures:
    """Notes of one test."""

    def __init__(self, test: str) -> None:
        self._test = test
        self._seconds: list[float] = []

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure one more time: what is inside is a recovery."""
        started = time.monotonic()
        yield
        self._seconds.append(time.monotonic() - started)

    def took(self, seconds: float) -> None:
        """One more time that was measured elsewhere."""
        self._seconds.append(seconds)

    def note(self, row: str, *, n: int, **counts: float) -> None:
        """Row ``row`` of the matrix was tried ``n`` times; ``counts`` are what its gate is about."""
        times = {f"p{share}_s": round(quantile(self._seconds, share / 100), 3) for share in (50, 99) if self._seconds}
        line = json.dumps({"row": row, "test": self._test, "n": n, **times, **counts})
        if path := os.environ.get("AGENTFLEET_CHAOS_FIGURES"):
            with Path(path).open("a") as file:
                file.write(f"{line}\n")
