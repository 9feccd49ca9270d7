"""Waiting for a condition, with patience but not for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

Result = TypeVar("Result")

PATIENCE: Final = 20
"""Seconds: the machine may be busy."""


async def soon(answer: Awaitable[Result]) -> Result:
    """The answer, which must come by itself."""
    async with asyncio.timeout(PATIENCE):
        return await answer


async def until(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def until_answer(condition: Callable[[], Awaitable[object]]) -> None:
    """Return when what ``condition`` asks somebody holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)
