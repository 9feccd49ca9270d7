"""Every caller is served, however calls and flushes interleave."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from agentfleet.engine.batcher import Batcher


@pytest.mark.parametrize("seed", range(60))
async def test_no_caller_is_left_waiting(seed: int) -> None:
    chance = random.Random(seed)  # schedules, not secrets

    async def breathe(at_most: int) -> None:
        for _ in range(chance.randrange(at_most)):
            await asyncio.sleep(0)

    async def flush(items: Sequence[int]) -> Sequence[int]:
        await breathe(4)
        return [item * 2 for item in items]

    batch = Batcher(flush)

    async def caller() -> None:
        for item in range(60):
            assert await batch(item) == item * 2
            await breathe(5)

    async with asyncio.timeout(30):  # a caller that is left waiting would wait for ever
        await asyncio.gather(*(caller() for _ in range(chance.randrange(1, 6))))
