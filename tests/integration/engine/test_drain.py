"""Serve and drain: a worker that stops finishes what it can, hands back the rest and claims nothing more."""

import asyncio

import pytest

from agentfleet.domain.states import StepState
from agentfleet.engine.ports import ToolResult
from tests.factories import POOL, execute, make_tool, step_row, submit, tally
from tests.scripted import Script, Tools, Worker, answer, until

pytestmark = pytest.mark.usefixtures("invariants_hold")


class Slow:
    """A model call that ends when told to."""

    def __init__(self) -> None:
        self.go, self.begun = asyncio.Event(), 0

    async def __call__(self, _: object) -> None:
        self.begun += 1
        await self.go.wait()


@pytest.fixture
def outcomes() -> list:
    return []


async def test_what_ends_in_time_is_settled(db, bells, outcomes):
    slow = Slow()
    worker = Worker(db, bells, Script([answer()], slow))
    server = worker.server()
    server.open()
    accepted = await submit(db)
    server.start(accepted.step_id, outcomes.append)
    await until(lambda: _begun(slow), "the call runs")
    draining = asyncio.create_task(server.drain(60))
    slow.go.set()
    await draining
    assert outcomes == ["succeed"]
    assert (await tally(db, accepted.run_id)).run.state == "succeeded"


async def test_the_rest_is_handed_back_without_spending_an_attempt(db, bells, outcomes):
    slow = Slow()
    worker = Worker(db, bells, Script([answer()], slow))
    server = worker.server()
    server.open()
    accepted = await submit(db)
    server.start(accepted.step_id, outcomes.append)
    await until(lambda: _begun(slow), "the call runs")
    await server.drain(0)

    assert outcomes == ["hand_back"]
    row = await step_row(db, accepted.step_id)
    assert (row.state, row.attempt, row.crashes, row.lease_until) == ("ready", 0, 0, None)
    assert POOL in bells.woken


async def test_a_draining_worker_claims_nothing_and_returns_what_it_was_sent(db, bells, outcomes):
    worker = Worker(db, bells, Script([answer()]))
    server = worker.server()
    server.open()
    await server.drain(0)
    accepted = await submit(db)
    server.start(accepted.step_id, outcomes.append)
    await server.drain(0)
    assert outcomes == [None]
    assert (await step_row(db, accepted.step_id)).state == "ready"
    assert worker.model.calls == []


async def test_an_unsafe_tool_that_is_cut_off_is_for_a_human(db, bells, outcomes):
    begun = asyncio.Event()

    async def pays(claimed) -> ToolResult:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    worker = Worker(db, bells, Script([answer()]), Tools(pays))
    server = worker.server()
    server.open()
    made = await make_tool(db, "pay", StepState.DISPATCHED)
    server.start(made.step_id, outcomes.append)
    await begun.wait()
    await server.drain(0)
    assert outcomes == ["bury"]
    found = await tally(db, made.run_id)
    assert [letter.verdict for letter in found.dead_letters] == ["unknown_effect"]


async def test_a_run_that_was_ended_stops_its_step_at_once(db, bells, outcomes):
    slow = Slow()
    worker = Worker(db, bells, Script([answer()], slow))
    server = worker.server()
    server.open()
    accepted = await submit(db)
    server.start(accepted.step_id, outcomes.append)
    await until(lambda: _begun(slow), "the call runs")
    server.cancel_run(accepted.run_id)
    await until(lambda: _revoked(bells), "the cancel is committed")
    server.stop(set(bells.revoked))
    await server.drain(60)
    assert outcomes == [None]
    assert (await tally(db, accepted.run_id)).states == ["cancelled"]


async def test_a_message_that_is_no_step_is_buried_as_it_came(db, bells, database_url):
    server = Worker(db, bells, Script([answer()])).server()
    server.open()
    server.bury(b"\x00garbage\xff", "not JSON")
    await server.drain(60)
    [(raw, step, verdict)] = execute(database_url, "SELECT raw, step_id, verdict FROM dead_letters")
    assert (bytes(raw), step, verdict) == (b"\x00garbage\xff", None, "permanent")


async def test_a_message_with_a_foreign_id_is_a_no_op(db, bells, outcomes):
    server = Worker(db, bells, Script([answer()])).server()
    server.open()
    server.start("../../etc/passwd", outcomes.append)
    server.start("' OR 1=1 --", outcomes.append)
    await server.drain(60)
    assert outcomes == [None, None]


async def _begun(slow):
    return slow.begun


async def _revoked(bells):
    return bells.revoked
