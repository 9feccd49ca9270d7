"""An organization runs out of money in the middle of its runs: whole runs, on a real database and a real Redis."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentfleet import Agent, tool
from agentfleet.agents.bundle import bundle_of
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.domain.plan import first_step
from agentfleet.engine.admit import Admitter
from agentfleet.provider.prices import worst_case
from tests.factories import POOL, save_bundle, submit, tally
from tests.integration.provider.organizations import OTHER, Fleet
from tests.integration.provider.talk import MODEL
from tests.scripted import Bells, Worker


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return what


AGENT = Agent(name="tester", model=MODEL, tools=[look], thinking="adaptive")


@pytest.fixture
def worker(db, fleet: Fleet) -> Worker:
    """A step worker whose model calls go to two organizations."""
    registry: Any = AgentToolbox(Registry([AGENT]), ThreadPoolExecutor(1))
    reasoner: Any = fleet.reasoner
    return Worker(db, Bells(), reasoner, registry, price=worst_case)


async def begin(db) -> Any:
    bundle = await save_bundle(db, bundle_of(AGENT))
    return await submit(db, agent=AGENT.name, bundle_id=bundle.id, first=first_step(AGENT.first_model))


async def test_a_run_that_thinks_waits_for_its_account_and_new_runs_go_elsewhere(db, fleet: Fleet, worker: Worker):
    bound = await begin(db)
    assert await worker.execute(bound.step_id) == "succeed"
    home = str((await tally(db, bound.run_id)).run.account).removesuffix("-main")
    spent = fleet.arm("enforced_spend_limit_reached", organization=home)
    await worker.work()
    waits = await tally(db, bound.run_id)
    assert (waits.states, waits.run.blocked_on) == (["succeeded", "succeeded", "waiting"], "provider")
    await fleet.admission.close()  # it is known of the organization that it is parked

    for _ in range(8):
        free = await begin(db)
        assert await worker.execute(free.step_id) == "succeed"
        await worker.work()
        done = (await tally(db, free.run_id)).run
        assert (done.state, done.account) == ("succeeded", f"{OTHER[home]}-main")

    fleet.sim.simulator.faults.lift(spent)
    assert await fleet.admission.resume(home)
    admitter = Admitter(db, worker.bells, fleet.admission, pool=POOL)
    assert await admitter.run_once() == 1
    await worker.work()
    done = (await tally(db, bound.run_id)).run
    assert (done.state, done.account) == ("succeeded", f"{home}-main")
    assert fleet.asked(bound.run_id) == [home] * 3, "and nobody else was asked"
