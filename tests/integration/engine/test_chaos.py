"""Everything breaks all the time, and every run still ends well: messages lost, doubled and shuffled, workers killed in
the middle of anything, a provider that refuses and fails, a dispatcher with a tiny window. The seed is the test's name.
"""

import asyncio
from random import Random

import pytest

from agentfleet.domain.errors import ProviderOverloaded, ProviderRateLimited, ProviderUnavailable, ToolRetry
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.ports import ToolResult
from agentfleet.engine.promote import Promoter
from agentfleet.engine.replay import Undertaker
from agentfleet.engine.republish import Republisher
from agentfleet.engine.rescue import Rescuer
from agentfleet.engine.settle import Settler
from tests.factories import POOL, TENANT, execute, submit, tally
from tests.scripted import Bells, Script, Tools, Worker, answer, ask_for

pytestmark = pytest.mark.usefixtures("invariants_hold")

TURNS = [ask_for("look", "book", "look"), ask_for("book"), answer("all done")]
WINDOW, RUNS, ROUNDS = 6, 4, 300
POLICY = RetryPolicy(max_attempts=4)
TROUBLES = [
    ProviderRateLimited("429", retry_after=1), ProviderOverloaded("529"), ProviderUnavailable("500"),
    RuntimeError("nobody thought of this"), None, None, None, None,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
async def test_every_run_ends_well_whatever_breaks(db, other_db, app_db, clock, database_url, seed):
    chance, bells = Random(seed), Bells()  # noqa: S311  # a repeatable disorder, not a secret

    async def refuses(_: object) -> None:
        if (trouble := chance.choice(TROUBLES)) is not None:
            raise trouble

    async def fails(_: object) -> ToolResult:
        await asyncio.sleep(0)
        if chance.random() < 0.2:
            raise ToolRetry
        return ToolResult("ok")

    model, tools = Script(TURNS, refuses), Tools(fails)
    workers = [
        Worker(one, bells, model, tools, name=name, window=WINDOW, policy=POLICY)
        for one, name in ((db, "w:1"), (other_db, "w:2"))
    ]
    undertaker = Undertaker(app_db, bells, Canceller(app_db, bells))
    duties = [
        Dispatcher(db, bells, pool=POOL, window=WINDOW),
        Promoter(db, bells),
        Rescuer(db, Settler(db, bells, window=WINDOW), bells, POLICY, pool=POOL),
        Republisher(db, bells, pool=POOL, after=5),
    ]
    runs = [(await submit(db, window=WINDOW)).run_id for _ in range(RUNS)]

    for _ in range(ROUNDS):
        await deliver(chance, bells, workers)
        clock.advance(chance.choice([0, 10, 100, 1000]))
        chance.shuffle(duties)
        for duty in duties:
            await duty.run_once()
        letters = execute(database_url, "SELECT id::text FROM dead_letters WHERE state = 'open'")
        await undertaker.replay(TENANT, [letter for (letter,) in letters])
        if execute(database_url, "SELECT count(*) FROM runs WHERE finished_at IS NULL") == [(0,)]:
            break

    for run_id in runs:
        found = await tally(db, run_id)
        assert (found.run.state, found.run.output, found.states) == ("succeeded", '"all done"', ["succeeded"] * 7)
        assert [(m.turn, m.part) for m in found.messages] == [
            (0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (3, 0), (4, 0), (5, 0),
        ]  # fmt: skip


async def deliver(chance: Random, bells: Bells, workers: list[Worker]) -> None:
    """Lose some messages, double and shuffle the others, and kill some of the workers that got them."""
    ids = [step_id for step_id in bells.take() if chance.random() > 0.15]
    ids += chance.choices(ids, k=len(ids) // 2)
    chance.shuffle(ids)
    tasks = [asyncio.create_task(chance.choice(workers).execute(step_id)) for step_id in ids]
    for task in chance.sample(tasks, len(tasks) // 6):
        for _ in range(chance.randint(0, 60)):
            await asyncio.sleep(0)  # somewhere between its claim and its settle
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
