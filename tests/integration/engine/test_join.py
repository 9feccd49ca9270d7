"""Join: the last of a turn's tools to settle creates the next reason step, exactly once, whoever settles when."""

import asyncio
from random import Random

import psycopg
import pytest

from agentfleet.engine.settle import Settler
from tests.factories import make_siblings, tally
from tests.integration.engine.locks import blocked
from tests.integration.engine.outcomes import held, returned, settle
from tests.scripted import Bells

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def test_the_last_tool_wakes_the_model(db, bells):
    tools = await make_siblings(db, 3)
    for part, tool in enumerate(tools):
        assert bells.rung == []
        await settle(db, returned(held(tool, part)), bells=bells)
    found = await tally(db, tools[0].run_id)
    assert [(s.seq, s.kind, s.turn) for s in found.steps[3:]] == [(3, "reason", 3)]
    assert bells.take() == [str(found.steps[3].id)]
    assert [(m.turn, m.part) for m in found.messages] == [(0, 0), (2, 0), (2, 1), (2, 2)]


async def test_all_tools_of_a_turn_in_one_batch_wake_the_model_once(db, bells):
    tools = await make_siblings(db, 5)
    settler = Settler(db, bells, window=1000)
    await asyncio.gather(*(settler(returned(held(tool, part)), "test:1") for part, tool in enumerate(tools)))
    assert [s.kind for s in (await tally(db, tools[0].run_id)).steps] == ["tool"] * 5 + ["reason"]


async def test_two_workers_that_settle_the_last_two_tools_at_once_wake_the_model_once(db, other_db, database_url):
    tools = await make_siblings(db, 2)
    with psycopg.connect(database_url) as holder:  # both have started before either can see the other's result
        holder.execute("SELECT FROM runs WHERE id = %s FOR UPDATE", (tools[0].run_id,))
        settling = [
            asyncio.create_task(settle(one, returned(held(tool, part))))
            for part, (one, tool) in enumerate(zip((db, other_db), tools, strict=True))
        ]
        await blocked(database_url, 2)
    assert await asyncio.gather(*settling) == [[True], [True]]
    assert [s.kind for s in (await tally(db, tools[0].run_id)).steps] == ["tool", "tool", "reason"]


@pytest.mark.parametrize("seed", range(4))
async def test_every_interleaving_joins_every_run_exactly_once(db, other_db, seed):
    """Many runs, two workers, random batches, every result sent up to three times and by both workers."""
    random = Random(seed)  # a repeatable disorder, not a secret
    runs = [await make_siblings(db, random.randint(1, 5)) for _ in range(12)]
    outcomes = [returned(held(tool, part)) for tools in runs for part, tool in enumerate(tools)]
    sent = outcomes + random.choices(outcomes, k=len(outcomes))
    random.shuffle(sent)
    bells = Bells()
    settlers = [Settler(one, bells, window=1000) for one in (db, other_db)]

    async def send(outcome) -> bool:
        for _ in range(random.randint(0, 20)):
            await asyncio.sleep(0)  # gives way, so that batches differ
        return await random.choice(settlers)(outcome, "test:1")

    ours = await asyncio.gather(*map(send, sent))
    assert sum(ours) >= len(outcomes)
    joins = []
    for tools in runs:
        found = await tally(db, tools[0].run_id)
        assert [s.kind for s in found.steps] == ["tool"] * len(tools) + ["reason"]
        assert len(found.attempts) == len(tools)
        assert len(found.messages) == 1 + len(tools)
        joins.append(str(found.steps[-1].id))
    assert sorted(bells.take()) == sorted(joins)
