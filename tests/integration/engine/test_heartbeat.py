"""Leases: kept by renewing, lost by silence; a worker that cannot renew starts no side effect and settles nothing."""

import asyncio
import itertools

import pytest
from sqlalchemy import text

from agentfleet.domain.states import StepState
from agentfleet.engine import heartbeat
from agentfleet.engine.cancel import Canceller
from tests.factories import claim, make_step, make_tool, step_row, submit, tally
from tests.scripted import Bells, Script, Tools, Worker, answer, until


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


class Stuck:
    """Work that ends when it is told to, or cancelled."""

    def __init__(self) -> None:
        self.begun, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), False

    async def __call__(self, _: object) -> None:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.fixture
def stuck() -> Stuck:
    return Stuck()


async def start(worker: Worker, stuck: Stuck, step_id: str) -> asyncio.Task:
    task = asyncio.create_task(worker.execute(step_id))
    await stuck.begun.wait()
    return task


async def test_a_beat_renews_every_lease_with_one_statement(db, bells, stuck, clock):
    worker = Worker(db, bells, Script([answer()], stuck))
    steps = [(await submit(db)).step_id for _ in range(5)]
    tasks = [asyncio.create_task(worker.execute(step_id)) for step_id in steps]
    await until(lambda: _calls(worker, 5), "all steps run")
    before = {(await step_row(db, step_id)).lease_until for step_id in steps}
    clock.advance(10)
    assert await worker.leases.beat() == 5
    after = {(await step_row(db, step_id)).lease_until for step_id in steps}
    assert min(after) > max(before)
    assert len(after) == 1
    stuck.go.set()
    assert await asyncio.gather(*tasks) == ["succeed"] * 5
    assert len(worker.leases) == 0


async def test_a_step_that_was_cancelled_is_stopped_at_the_next_beat(db, bells, stuck):
    worker = Worker(db, bells, Script([answer()], stuck))
    accepted = await submit(db)
    task = await start(worker, stuck, accepted.step_id)
    await Canceller(db, Bells()).cancel(accepted.run_id)
    assert await worker.leases.beat() == 0
    assert await task is None
    assert stuck.cancelled
    assert (await tally(db, accepted.run_id)).states == ["cancelled"]


async def test_a_step_that_somebody_else_claimed_is_stopped_at_the_next_beat(db, bells, stuck, database_url):
    worker = Worker(db, bells, Script([answer()], stuck))
    accepted = await submit(db)
    task = await start(worker, stuck, accepted.step_id)
    async with db.reading() as connection:
        await connection.exec_driver_sql("UPDATE steps SET state = 'dispatched', lease_until = NULL")
    heir = await claim(db, accepted.step_id)
    await worker.leases.beat()
    assert await task is None
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.fence) == ("running", heir.fence)


async def test_cut_off_from_the_database_what_has_begun_goes_on_and_the_fence_decides(
    far_db, db, bells, stuck, proxy, clock
):
    mine = Clock()
    worker = Worker(far_db, bells, Script([answer()], stuck), clock=mine)
    accepted = await submit(db)
    task = await start(worker, stuck, accepted.step_id)
    proxy.leave()
    mine.ahead = 31
    clock.advance(31)
    assert await worker.leases.beat() == 1
    assert not stuck.cancelled, "perhaps nobody can reach the database"
    proxy.away = False
    stuck.go.set()
    assert await task == "succeed", "nobody else had taken the step"


async def test_a_row_that_somebody_holds_is_not_lost(db, other_db, bells, stuck, database_url):
    """A renewal whose connection was lost may still hold the rows on the server when the next one comes."""
    worker = Worker(db, bells, Script([answer()], stuck))
    accepted = await submit(db)
    task = await start(worker, stuck, accepted.step_id)
    before = (await step_row(db, accepted.step_id)).lease_until
    async with other_db.reading() as holder:
        await holder.execute(text("SELECT FROM steps FOR UPDATE"))
        assert await worker.leases.beat() == 1
    assert (await step_row(db, accepted.step_id)).lease_until == before
    assert await worker.leases.beat() == 1
    assert (await step_row(db, accepted.step_id)).lease_until > before
    stuck.go.set()
    assert await task == "succeed"


async def test_after_the_lease_no_side_effect_starts(db, bells):
    """The claim took longer than the lease: the worker was frozen in between, say."""
    readings = itertools.count(0, 31)
    worker = Worker(db, bells, Script([answer()]), clock=lambda: float(next(readings)))
    model_step, tool_step = await submit(db), await make_tool(db, "pay", StepState.DISPATCHED)
    assert await worker.execute(model_step.step_id) is None
    assert await worker.execute(tool_step.step_id) is None
    assert (worker.model.calls, worker.tools.calls) == ([], [])


async def test_a_renewed_lease_lets_side_effects_start_again(db, bells):
    mine = Clock()
    tools = Tools()
    worker = Worker(db, bells, Script([answer()]), tools, clock=mine)
    made = await make_step(db, StepState.DISPATCHED)
    claimed = await claim(db, made.step_id)
    held = worker.leases.hold(claimed, asked_at=mine())
    mine.ahead = 29
    await worker.leases.beat()
    mine.ahead = 31
    worker.leases.check(held)
    mine.ahead = 60
    with pytest.raises(heartbeat.LeaseLost):
        worker.leases.check(held)
    worker.leases.release(held)


async def test_a_step_whose_outcome_is_being_written_is_not_cut_off(db, bells, stuck):
    worker = Worker(db, bells, Script([answer()]))
    accepted = await submit(db)

    class Reached(Exception):
        pass

    settled = worker.settler._batch
    reached, go = asyncio.Event(), asyncio.Event()

    async def slowly(item):
        reached.set()
        await go.wait()
        return await settled(item)

    worker.settler._batch = slowly
    task = asyncio.create_task(worker.execute(accepted.step_id))
    await reached.wait()
    worker.leases.stop({accepted.step_id}, heartbeat.LeaseLost("somebody says so"))
    go.set()
    assert await task == "succeed"


async def _calls(worker, count):
    return len(worker.model.calls) == count
