"""Deploy at any time: workers come and go, agents change, a release is taken back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from agentfleet.agents.agent import Agent
from agentfleet.dev.child import free_port
from agentfleet.simulator.armed import Match, Order
from tests import invariants
from tests.acceptance import agents
from tests.acceptance.fleet import TENANT, Fleet, until
from tests.chaos import agents_bad, agents_v1, agents_v2
from tests.chaos.figures import Figures

OPEN = "SELECT count(*) FROM runs WHERE finished_at IS NULL AND agent = %s"


@asynccontextmanager
async def load(fleet: Fleet, agent: Agent, *, least: int, at_once: int = 20) -> AsyncIterator[list[str]]:
    """Meanwhile runs are submitted, ``at_once`` of them open, and then until there were ``least``."""
    run_ids: list[str] = []
    enough = asyncio.Event()

    async def submit() -> None:
        while len(run_ids) < least or not enough.is_set():
            await until(lambda: fleet.query(OPEN, agent.name)[0][0] < at_once, "runs end")
            run_ids.extend(await fleet.submit(agent, 5))

    submitting = asyncio.create_task(submit())
    yield run_ids
    enough.set()
    await submitting


async def test_a_rolling_deploy_fails_nothing(fleet: Fleet, figures: Figures, many) -> None:
    """Steps end within the drain or are handed back: what the drain cut off is the only work that is done again."""
    simulator = fleet.ground.simulator.simulator
    stalled = simulator.faults.arm(Order(fault="stream_stall", times=2))
    workers = [await fleet.worker(drain=1) for _ in range(2)]
    slow = await fleet.submit(agents.chat, 2)  # their model calls outlive a drain, like the tool calls of the next two
    await until(lambda: stalled.spent, "two model calls hang")
    slow += await fleet.submit(agents.holder, 2)
    await fleet.called("hold", 2)
    async with load(fleet, agents.notes, least=many(50, 5_000)) as runs:
        for _ in range(many(1, 5)):
            for place, old in enumerate(workers):
                settled = fleet.settlements()
                workers[place] = await fleet.worker(drain=1)
                with figures.timed():
                    assert await old.end() == 0
                await until(lambda settled=settled: fleet.settlements() > settled + 20, "steps settle")
    fleet.open()
    await fleet.finished([*runs, *slow])
    endings = fleet.query(
        "SELECT s.kind, a.outcome, a.verdict, count(*) FROM attempts a JOIN steps s ON s.id = a.step_id GROUP BY 1, 2, 3"
    )
    attempts = {(kind, outcome): count for kind, outcome, _, count in endings}
    assert {(outcome, verdict) for _, outcome, verdict, _ in endings} == {
        ("succeed", None),
        ("hand_back", "interrupted"),
    }
    handed_back = attempts["reason", "hand_back"]
    assert handed_back >= 2, "the model calls that hang"
    calls = simulator.log.total
    repeated = max(0, calls - attempts["reason", "succeed"] - handed_back)
    for tool in ("note_a", "note_b"):
        assert len({key for _, key, *_ in fleet.calls(tool)}) == len(runs)
    noted = sum(len(fleet.calls(tool)) for tool in ("note_a", "note_b"))
    assert noted - 2 * len(runs) <= attempts["tool", "hand_back"]
    assert repeated <= calls * 0.001
    figures.note(
        "F7", n=len(runs) + len(slow), failed=0, repeated_share=repeated / calls, handed_back=handed_back, calls=calls
    )


async def test_a_run_keeps_its_version(fleet: Fleet, figures: Figures, many) -> None:
    count = many(5, 200)
    simulator = fleet.ground.simulator.simulator
    simulator.faults.arm(Order(fault="unknown_event", match=Match(contains=agents_v1.pilot.instructions)))  # a mark
    first = await fleet.worker(agents=agents_v1.__name__, drain=0.1)
    old, gliding = await fleet.submit(agents_v1.pilot, count), await fleet.submit(agents_v1.glider, count)
    await fleet.called("climb", count)
    await fleet.called("glide", count)
    port = free_port()
    second = await fleet.worker(agents=agents_v2.__name__, metrics_port=port, drain=0.1)
    assert await first.end() == 0
    with figures.timed():  # version two cannot glide: it says so in a log, in a metric and in the runs
        told = "SELECT count(*) FROM runs WHERE id = ANY(%s::uuid[]) AND state = 'waiting' AND blocked_on = 'deploy'"
        await until(lambda: fleet.query(told, gliding) == [(count,)], "the runs say what they wait for")
        assert any(line["verdict"] == "unserviceable" for line in second.logs("step_failed"))
        assert await metric(port, 'agentfleet_step_retries_total{reason="unserviceable"}') >= count
    new = await fleet.submit(agents_v2.pilot, count)
    fleet.open()
    await fleet.finished([*old, *new])
    third = await fleet.worker(agents=agents_v1.__name__)  # taken back: the tool is there again
    assert await second.end() == 0
    await fleet.finished(gliding)
    assert third.logs("step_failed") == []

    entries = [entry for entry in simulator.log.entries if entry.tags["x-agentfleet-run"] not in gliding]
    told_as = {(entry.tags["x-agentfleet-run"], entry.model, entry.fault) for entry in entries}
    as_one = {(run_id, agents_v1.MODEL, "unknown_event") for run_id in old}
    as_two = {(run_id, agents_v2.MODEL, None) for run_id in new}
    crossed = len(told_as - as_one - as_two) + len({run_id for run_id, *_ in fleet.calls("land")} - set(new))
    assert crossed == 0
    assert told_as == as_one | as_two
    spent = fleet.query("SELECT max(attempt) FROM steps WHERE run_id = ANY(%s::uuid[])", gliding)
    assert spent == [(1,)], "waiting for a deploy costs no attempt"
    figures.note("F35", n=3 * count, crossed=crossed)


async def metric(port: int, name: str) -> float:
    """A sample of the process whose metrics are on ``port``."""
    async with httpx2.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


async def test_a_bad_deploy_is_rolled_back(fleet: Fleet, figures: Figures, many) -> None:
    count = many(5, 200)
    good = await fleet.worker(agents=agents_v1.__name__, drain=0.1)
    flying = [await fleet.submit(agent, count) for agent in (agents_v1.pilot, agents_v1.glider, agents_v1.diver)]
    runs = [run_id for run_ids in flying for run_id in run_ids]
    for tool in ("climb", "glide", "dive"):
        await fleet.called(tool, count)
    worse = fleet.ground.start("workers.steps", directory=fleet.directory, agents="tests.chaos.agents_nowhere")
    assert await worse.wait() == 1, "it does not even start"
    bad = await fleet.worker(agents=agents_bad.__name__, release="bad")
    assert await good.end() == 0
    touched = "SELECT DISTINCT s.run_id FROM attempts a JOIN steps s ON s.id = a.step_id WHERE a.release = 'bad'"
    await until(lambda: len(fleet.query(touched)) == len(runs), "every run has met the bad release")
    refused = "SELECT step_id FROM attempts WHERE verdict = 'unserviceable' GROUP BY 1 HAVING count(*) > 2"
    await until(lambda: len(fleet.query(refused)) == count, "it lacks a tool, more often than an agent has attempts")
    buried = "SELECT DISTINCT d.id FROM dead_letters d JOIN attempts a USING (step_id) WHERE a.release = 'bad'"
    await until(lambda: len(fleet.query(buried)) == count, "it has buried what it could not do")
    await until(lambda: set(fleet.states(flying[0])) == {"succeeded"}, "the model has given up on a tool that raises")

    with figures.timed():
        await fleet.worker(agents=agents_v1.__name__)
        assert await bad.end() == 0
        await fleet.ingress.undertaker.replay(TENANT, [str(letter) for (letter,) in fleet.query(buried)])
        fleet.open()
        await fleet.finished(runs)
    for tool in ("glide", "dive"):
        keys = Counter(key for _, key, *_ in fleet.calls(tool))
        assert len(keys) == count
    invariants.check(fleet.ground.database_url)
    figures.note("F36", n=len(runs), lost=0)
