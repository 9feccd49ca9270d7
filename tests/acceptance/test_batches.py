"""The batch lane as processes: workers, dispatcher, reconciler and `workers.batches`, which may be killed at any moment."""

import json
from collections.abc import Iterator

import pytest

from agentfleet.agents.agent import Agent
from agentfleet.agents.bundle import bundle_of
from agentfleet.domain.plan import first_step
from agentfleet.store.runs import NewRun
from tests.acceptance.agents import chat, notes
from tests.acceptance.fleet import TENANT, Fleet, Process, until

RUNS = 5
QUICK = {"batch_every": 0.2, "batch_recover_after": 2}


@pytest.fixture(autouse=True)
def quick_batches(fleet: Fleet) -> Iterator[None]:
    """The provider answers a batch within half a second."""
    simulator = fleet.ground.simulator.simulator
    before = simulator.config
    simulator.configure(before.patched({"batches": {"seconds": 0.5}}))
    yield
    simulator.configure(before)


async def submit(fleet: Fleet, agent: Agent) -> list[str]:
    """Runs of the lane, each with an input of its own."""
    bundle = bundle_of(agent)
    await fleet.ingress.bundles.save(bundle)
    runs = []
    for number in range(RUNS):
        content = json.dumps([{"type": "text", "text": f"Say hello, number {number}."}])
        new = NewRun(
            agent.name, bundle.id, agent.pool, '"x"', content, first_step(agent.model), deadline=21_600, lane="batch"
        )
        runs.append((await fleet.ingress.submit(TENANT, new)).run_id)
    return runs


def serve(fleet: Fleet, **settings: object) -> Process:
    """Start the process of the lane."""
    process = fleet.ground.start("workers.batches", directory=fleet.directory, **{**QUICK, **settings})
    fleet.workers.append(process)
    return process


def paid(fleet: Fleet) -> list[str | None]:
    return [entry.input for entry in fleet.ground.simulator.simulator.log.entries if entry.paid]


async def test_runs_with_time_are_answered_in_batches_at_half_the_price(fleet: Fleet) -> None:
    await fleet.worker()
    lane = await serve(fleet).ready()
    runs = await submit(fleet, notes)
    await fleet.finished(runs)
    assert len(set(paid(fleet))) == len(paid(fleet)) == RUNS * 2, "before and after the tools"
    usages = fleet.query("SELECT usage FROM attempts WHERE usage IS NOT NULL")
    assert {json.loads(usage)["service_tier"] for (usage,) in usages} == {"batch"}
    await until(lambda: {row[0] for row in fleet.query("SELECT state FROM batches")} == {"ended"}, "all batches end")
    assert await lane.end() == 0


@pytest.mark.parametrize("moment", ["open_batch.after", "create_batch.after", "store_batch_results.after"])
async def test_a_lane_that_is_killed_goes_on_and_pays_once(fleet: Fleet, moment: str) -> None:
    await fleet.worker()
    dying = serve(fleet, failpoint=f"{moment}:kill")
    runs = await submit(fleet, chat)
    await dying.wait()
    await serve(fleet).ready()
    await fleet.finished(runs)
    assert len(set(paid(fleet))) == len(paid(fleet)) == RUNS
    entries = fleet.ground.simulator.simulator.log.entries
    assert not [entry for entry in entries if entry.endpoint == "messages"], "nobody had to call directly"
