"""Many cases side by side, each on a stage of its own."""

import asyncio
import itertools
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.sweep.plan import Case
from tests.chaos.sweep.play import play
from tests.chaos.sweep.stage import World, printed, stage


@dataclass(frozen=True, slots=True)
class Result:
    """How a case went; ``failure`` is empty when it went well."""

    case: Case
    seconds: float
    failure: str = ""


async def run(world: World, cases: Sequence[Case], *, jobs: int, tell: Callable[[Result], None]) -> list[Result]:
    """Play ``cases`` in their order, ``jobs`` at a time; ``tell`` hears of each when it is over."""
    left, numbers, results = iter(cases), itertools.count(1), list[Result]()

    async def lane() -> None:
        for case in left:
            result = await _one(world, case, f"sweep_{next(numbers)}")
            results.append(result)
            tell(result)

    await asyncio.gather(*(lane() for _ in range(jobs)))
    return results


async def _one(world: World, case: Case, name: str) -> Result:
    started, failure = time.monotonic(), ""
    try:
        async with stage(world, name) as made:
            try:
                await play(made, case)
            except Exception as error:  # noqa: BLE001  # whatever it was, it is the case's result
                failure = f"{error}\n{traceback.format_exc()}\n{printed(made.ground.processes)}"
    except Exception:  # noqa: BLE001  # as above
        failure = failure or traceback.format_exc()
    return Result(case, time.monotonic() - started, failure)
