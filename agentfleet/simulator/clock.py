"""The simulator's time. Buckets, cache, batches, retry-after, the pace of answers and the log read this one clock."""

import asyncio
import time
from collections.abc import Callable


class Clock:
    """Unix seconds, as `clock()`. `speed` 1 is real time, 60 runs an hour in a minute, 0 stands still.

    It may be moved from any thread; calls that wait for a time notice at once.
    """

    def __init__(self, speed: float = 1, tick: Callable[[], float] = time.monotonic) -> None:
        self._tick = tick
        self._changed: asyncio.Future[None] | None = None
        self.reset(speed)

    def __call__(self) -> float:
        """The time now."""
        at, ticked, speed = self._line
        return at + (self._tick() - ticked) * speed

    @property
    def speed(self) -> float:
        """Seconds of this clock in a real second."""
        return self._line[2]

    def reset(self, speed: float) -> None:
        """Back to the real time, from now on at this speed."""
        self._move(time.time(), speed)

    def run(self, speed: float) -> None:
        """Go on from here at this speed; 0 stops the clock."""
        self._move(self(), speed)

    def advance(self, seconds: float) -> None:
        """Jump ahead."""
        self._move(self() + seconds, self.speed)

    def real(self, seconds: float) -> float | None:
        """How long `seconds` of this clock take in real time; None while it stands."""
        return seconds / self.speed if self.speed else None

    def changed(self) -> asyncio.Future[None]:
        """Done once the clock has been moved. Ask for it before you read the time, or a move is missed."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def _move(self, at: float, speed: float) -> None:
        self._line = (at, self._tick(), speed)  # one assignment: another thread reads all of it or none
        changed, self._changed = self._changed, None
        if changed is not None and not changed.get_loop().is_closed():
            changed.get_loop().call_soon_threadsafe(_resolve, changed)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
