"""Promises about whole runs: what they are pinned to, and what they cost as they grow."""

import dataclasses

import psycopg
import pytest

from agentfleet.agents.agent import Agent
from agentfleet.agents.bundle import bundle_of
from agentfleet.broker.envelope import envelope
from agentfleet.domain.budget import Budget
from agentfleet.domain.plan import first_step
from agentfleet.store.bundles import Bundles
from agentfleet.store.runs import NewRun
from agentfleet.store.runs import submit as submit_runs
from tests.factories import POOL, submit
from tests.scripted import Script, Tools, Worker, answer, ask_for

pytestmark = pytest.mark.usefixtures("invariants_hold")

TURNS = 25


async def test_a_run_keeps_the_prompt_tools_and_model_it_started_with(db, bells):
    before = Agent(name="pinned", model="claude-haiku-5-5", instructions="Be brief.", pool=POOL)
    after = dataclasses.replace(before, model="claude-opus-5-5", instructions="Be long.")
    assert bundle_of(before).id != bundle_of(after).id
    bundles = Bundles(db)
    await bundles.save(bundle_of(before))
    new = NewRun("pinned", bundle_of(before).id, POOL, '"hi"', "[]", first_step(before.model))
    accepted = (await submit_runs(db, "t", [new], window=1000))[new.run_id]
    await bundles.save(bundle_of(after))  # the deploy happens while the run is under way

    seen = []

    async def note(request):
        seen.append((request.bundle.spec["model"], request.bundle.spec["instructions"]))

    worker = Worker(db, bells, Script([ask_for("look"), answer()], before=note))
    assert await worker.execute(accepted.step_id) == "succeed"
    await worker.work()
    assert seen == [("claude-haiku-5-5", "Be brief.")] * 2


async def test_a_long_run_writes_each_message_once_and_its_messages_to_the_broker_do_not_grow(db, bells, database_url):
    accepted = await submit(db, window=1000)
    worker = Worker(
        db, bells, Script([*[ask_for("look")] * TURNS, answer()]), Tools(budget=Budget(max_steps=2 * TURNS + 1))
    )
    sizes = set[int]()
    await worker.execute(accepted.step_id)
    while bells.rung:
        sizes |= {len(envelope(dataclasses.replace(bell, seq=0), "q")) for bell in bells.rung if bell.kind == "tool"}
        await worker.execute(bells.take()[0])
    with psycopg.connect(database_url) as connection:
        said, steps, written = connection.execute(
            "SELECT (SELECT count(*) FROM messages WHERE run_id = r.id), steps_total,"
            " (SELECT sum(length(content)) FROM messages WHERE run_id = r.id) FROM runs r WHERE id = %s",
            (accepted.run_id,),
        ).fetchone()
    assert steps == 2 * TURNS + 1
    assert said == steps + 1, "one row per step and one for the input"
    assert len(sizes) == 1, "a broker message carries ids, not the conversation"
    assert written < 300 * said
