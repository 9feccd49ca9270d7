"""Whether the current task was told to end. Whoever loops asks, and does not only catch ``CancelledError``.

A driver may lose a cancellation: redis-py awaits under ``asyncio.wait_for``, which before Python 3.12 swallows one that
arrives with the answer (https://github.com/python/cpython/issues/86296), and a driver that is interrupted while its
server goes away may raise an error of its own instead. A loop that does not ask then runs for ever, and so does
whoever waits for its end.
"""

import asyncio


def cancelled() -> bool:
    """Whether the current task was cancelled, even if nothing was raised."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
