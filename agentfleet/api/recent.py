"""Answers that may be some seconds old: asked for once, whoever wants them in the meantime."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

FRESH: Final = 10.0
"""Seconds for which an answer is good enough."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Asks again when an answer is older than ``FRESH``; whoever comes in the meantime shares it."""

    def __init__(self, ask: Callable[[Key], Awaitable[Value]]) -> None:
        self._ask = ask
        self._answers: dict[Key, tuple[float, asyncio.Future[Value]]] = {}

    async def __call__(self, key: Key) -> Value:
        """The answer for ``key``; raises what asking raised, which nobody gets who comes later."""
        now = asyncio.get_running_loop().time()
        self._answers = {k: kept for k, kept in self._answers.items() if now < kept[0] and not _broken(kept[1])}
        if key not in self._answers:
            self._answers[key] = now + FRESH, asyncio.ensure_future(self._ask(key))
        return await asyncio.shield(self._answers[key][1])


def _broken(answer: asyncio.Future[Value]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
