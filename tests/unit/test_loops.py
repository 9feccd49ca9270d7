"""How duties run for ever, and stop."""

import asyncio

from prometheus_client import REGISTRY

from workers.loops import Duty, run

FAILED = ("agentfleet_duty_rounds_total", {"duty": "promote", "outcome": "failed"})


async def test_a_duty_whose_driver_turns_its_cancellation_into_an_error_still_stops():
    begun, rounds = asyncio.Event(), []

    async def interrupted() -> int:
        rounds.append(1)
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("terminating connection due to administrator command") from None
        return 0

    task = asyncio.create_task(run(Duty("rescue", interrupted, every=0)))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.done(), "it would lead for ever without leading, and never hear SIGTERM"
    assert rounds == [1]


async def test_an_error_costs_one_round():
    rounds, enough = [], asyncio.Event()

    async def failing() -> int:
        rounds.append(1)
        if len(rounds) == 3:
            enough.set()
            await asyncio.Event().wait()
        raise RuntimeError

    before = REGISTRY.get_sample_value(*FAILED) or 0
    task = asyncio.create_task(run(Duty("promote", failing, every=0)))
    await asyncio.wait_for(enough.wait(), 5)
    assert (REGISTRY.get_sample_value(*FAILED) or 0) - before == 2
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
