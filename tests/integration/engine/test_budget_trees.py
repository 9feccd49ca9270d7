"""Children spend from their parents, and end with them."""

import asyncio

import pytest

from agentfleet.domain.budget import Budget
from agentfleet.engine.budget import Reserver
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.ports import ToolResult
from agentfleet.engine.submit import ParentEnded, Submitter
from tests.factories import TENANT, claim, new_run, submit, tally
from tests.integration.engine.caps import TURNS, cap_day, child_of, raise_budget, row
from tests.scripted import USAGE, Script, Tools, Worker, answer, ask_for, price

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def test_a_child_spends_from_its_parents_and_from_the_day(db, bells, go_on, database_url):
    cap_day(database_url, max_steps=100)
    parent = await submit(db)
    child = await child_of(db, parent)
    grandchild = await child_of(db, child)
    worker = Worker(db, bells, Script(TURNS))
    await asyncio.gather(*(worker.execute(one.step_id) for one in (parent, child, grandchild)))
    await worker.work()
    once = (7, 4, 390, 3 * USAGE.cost_usd)
    assert [row(database_url, one)[:4] for one in (child.run_id, parent.run_id, None)] == [
        tuple(n * each for each in once) for n in (2, 3, 3)
    ]


async def test_what_a_run_did_before_it_had_a_child_counts(db, bells, database_url):
    """Its first call is over, and the tool that submits the child runs just then."""
    parent = await submit(db)
    children = []

    async def delegate(claimed):
        children.append(await child_of(db, parent))
        return ToolResult("ok")

    worker = Worker(db, bells, Script([ask_for("look"), answer()]), Tools(delegate))
    await worker.execute(parent.step_id)
    await worker.work()
    assert row(database_url, parent.run_id) == (3, 1, 260, 2 * USAGE.cost_usd, 0, 0)


async def test_children_wait_at_their_parents_ceiling_and_go_on_when_it_is_raised(db, bells, go_on):
    parent = await submit(db)
    tight = Budget(max_cost_usd=2 * USAGE.cost_usd)
    children = [await child_of(db, parent, tight) for _ in range(3)]
    worker = Worker(db, bells, Script([answer()]))
    for one in children:
        await worker.execute(one.step_id)
    found = [(await tally(db, one.run_id)).run for one in children]
    assert [(run.state, run.blocked_on) for run in found] == [("succeeded", None)] * 2 + [("waiting", "budget")]
    await raise_budget(db, parent.run_id, max_cost_usd=1)
    await go_on()
    await worker.work()
    assert (await tally(db, children[2].run_id)).run.state == "succeeded"


async def test_cancelling_a_run_cancels_its_children_and_frees_what_they_held(db, bells, database_url):
    cap_day(database_url, max_steps=100)
    parent = await submit(db)
    child = await child_of(db, parent)
    grandchild = await child_of(db, child)
    running = await claim(db, grandchild.step_id)
    await Reserver(db, price).tool_call(running, Budget(), 1, lambda: None)
    assert row(database_url)[4] == 1
    assert await Canceller(db, bells).cancel(parent.run_id)
    states = [(await tally(db, one.run_id)).run.state for one in (parent, child, grandchild)]
    assert states == ["cancelled"] * 3
    assert bells.revoked == [grandchild.step_id]
    assert row(database_url)[:5] == (0, 0, 0, 0, 0)


async def test_a_run_that_has_ended_gets_no_child(db, bells):
    parent = await submit(db)
    await Canceller(db, bells).cancel(parent.run_id)
    submitter = Submitter(db, bells, window=10)
    with pytest.raises(ParentEnded):
        await submitter(TENANT, new_run(parent_run_id=parent.run_id, key="once", fingerprint=b"x"))
    assert await submitter(TENANT, new_run(key="once", fingerprint=b"y")), "its key was not taken"
