"""Messages carry no authority: however often, late or out of order they come, and whoever sends them, Postgres decides."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from random import Random
from urllib.request import urlopen

import pytest
from redis.asyncio import Redis

from agentfleet.dev.child import free_port
from agentfleet.domain.plan import Finish
from agentfleet.domain.settlement import succeeded
from agentfleet.domain.states import RunState
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.dispatch import Dispatcher
from agentfleet.engine.promote import Promoter
from agentfleet.engine.republish import Republisher
from agentfleet.engine.rescue import Rescuer
from agentfleet.engine.settle import Settler
from agentfleet.engine.submit import Submitter
from agentfleet.store import runs as run_store
from agentfleet.store import steps as step_store
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from tests import invariants
from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, Process, until
from tests.acceptance.sabotaged import Tenfold
from tests.chaos.figures import Figures, nightly
from tests.conftest import Clock
from tests.factories import LEASE, POOL, TENANT, execute, new_run, save_bundle, submit
from tests.scripted import Bells, Script, Tools, Worker, answer, ask_for

pytestmark = pytest.mark.timeout(900 if nightly() else 120)

Many = Callable[[int, int], int]
MESSAGES_PER_RUN = 4
"""Of ``agents.notes``: the model, two tools, the model."""
WAVE = 100
"""Runs at once: below the window, so that each message is sent by those who send it ten times."""


def no_ops(ports: list[int]) -> int:
    """How many messages claimed nothing, says the metric of the workers on these ports."""
    total = 0
    for port in ports:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            found = re.search(rb"^agentfleet_stale_messages_total ([\d.e+]+)", response.read(), re.MULTILINE)
        assert found is not None
        total += int(float(found[1]))
    return total


async def test_ten_copies_of_every_message_are_one(fleet: Fleet, figures: Figures, many: Many) -> None:
    ports = [free_port(), free_port()]
    workers = [fleet.start(sabotage="tenfold", metrics_port=port, lease=30, heartbeat=5) for port in ports]
    for worker in workers:
        await worker.ready()
    ingress = fleet.ingress
    fleet.ingress = replace(
        ingress, submit=Submitter(ingress.db, Tenfold(ingress.redis, prefix="agentfleet"), window=1000)
    )
    runs: list[str] = []
    for _ in range(many(1, 2_500 // WAVE)):
        with figures.timed():
            wave = await fleet.submit(agents.notes, many(25, WAVE))
            await fleet.finished(wave)
        runs += wave
    messages = len(runs) * MESSAGES_PER_RUN
    await until(lambda: no_ops(ports) >= 9 * messages, "the other nine of each have come")
    # Waiting for room at a provider that nobody knows yet is no attempt.
    attempts = fleet.query("SELECT count(*), count(DISTINCT step_id) FROM attempts WHERE outcome <> 'snooze'")[0]
    assert attempts == (messages, messages)
    calls = Counter(tuple(call[:2]) for tool in ("note_a", "note_b") for call in fleet.calls(tool))
    assert len(calls) == 2 * len(runs)
    doubled = calls.total() - len(calls) + attempts[0] - messages
    assert doubled == 0
    figures.note("F20", n=messages, doubled=doubled)


async def test_late_and_shuffled_messages_change_nothing(
    db: Database, other_db: Database, clock: Clock, database_url: str, figures: Figures, many: Many
) -> None:
    chance, bells, now = Random(21), Bells(), 0.0  # a repeatable disorder
    model, tools = Script([ask_for("look", "book"), ask_for("pay"), answer()]), Tools()
    workers = [Worker(one, bells, model, tools, name=name) for one, name in ((db, "w:1"), (other_db, "w:2"))]
    policy, settler = workers[0].policy, workers[0].settler
    duties = [
        Dispatcher(db, bells, pool=POOL, window=1000),
        Promoter(db, bells),
        Rescuer(db, settler, bells, policy, pool=POOL, lease=LEASE, heartbeat=0, poll=0),
        Republisher(db, bells, pool=POOL, after=5),
    ]
    count = many(25, 1_000)
    for _ in range(count):
        run = await submit(db)
        bells.rung.append(step_store._doorbell((run.step_id, run.run_id, POOL, "", "", "", 0, 1, None)))
    late: list[tuple[float, str]] = []
    delivered = settled = 0
    while late or bells.rung or execute(database_url, "SELECT FROM runs WHERE finished_at IS NULL LIMIT 1"):
        late += [(now + chance.uniform(0, 600), step_id) for step_id in bells.take()]
        here = [step_id for due, step_id in late if due <= now]
        late = [message for message in late if message[0] > now]
        chance.shuffle(here)
        outcomes = await asyncio.gather(*(chance.choice(workers).execute(step_id) for step_id in here))
        delivered, settled = delivered + len(here), settled + sum(outcome is not None for outcome in outcomes)
        passes = chance.uniform(0, 60)
        now += passes
        clock.advance(passes)
        chance.shuffle(duties)
        for duty in duties:
            await duty.run_once()
    invariants.check(database_url)
    steps = execute(
        database_url, "SELECT count(*), max(fence), count(*) FILTER (WHERE state = 'succeeded') FROM steps"
    )[0]
    assert steps == (6 * count, 1, 6 * count)
    violations = len(model.calls) - 3 * count + len(tools.calls) - 3 * count + settled - 6 * count
    assert violations == 0
    assert delivered > 2 * settled, "most messages came when it was too late"
    figures.note("F21", n=delivered, violations=violations)


@pytest.fixture
def leaders(fleet: Fleet) -> list[Process]:
    """A second dispatcher and a second reconciler, who lead beside the first."""
    sabotaged = ("tests.acceptance.sabotaged", "leading")
    second = [fleet.ground.start(*sabotaged, f"workers.{kind}") for kind in ("dispatcher", "reconciler")]
    fleet.workers += second  # they end with this test
    return second


async def test_two_leaders_do_everything_once(
    fleet: Fleet, leaders: list[Process], figures: Figures, many: Many
) -> None:
    for duty in (*fleet.ground.duties, *leaders):
        await until(lambda duty=duty: duty.logs("leading"), f"{duty.name} leads")
    ingress = fleet.ingress
    fleet.ingress = replace(
        ingress, submit=Submitter(ingress.db, ingress.publisher, window=0)
    )  # all for the dispatchers
    runs: list[str] = []
    for _ in range(many(2, 30)):
        first = await fleet.worker(dispatch_window=1)
        before = len(fleet.calls("hold"))
        holding = await fleet.submit(agents.holder, 3)
        await fleet.called("hold", before + 3)
        noting = await fleet.submit(agents.notes, many(20, 100))
        async with Redis.from_url(fleet.ground.redis_url) as redis:
            await redis.flushall()
        first.kill()
        second = await fleet.worker(dispatch_window=1)
        await fleet.called("hold", before + 6)
        fleet.open(f"open-{second.pid}")
        with figures.timed():
            await fleet.finished([*holding, *noting])
        assert await second.end() == 0
        runs += [*holding, *noting]
    twice = fleet.query(
        "SELECT count(*) FROM (SELECT FROM attempts WHERE verdict IS DISTINCT FROM 'crashed' AND outcome <> 'snooze'"
        " GROUP BY step_id HAVING count(*) > 1) AS s"
    )[0][0]
    assert twice == 0
    held = Counter(call[1] for call in fleet.calls("hold"))
    assert set(held.values()) == {2}, "once by the killed worker, once by its successor"
    figures.note("F41", n=len(runs), doubled=twice)


@pytest.fixture
async def other_db(database_url: str) -> AsyncIterator[Database]:
    """The same database as another process sees it."""
    database = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-other", pool_size=4))
    await database.open()
    yield database
    await database.close()


async def test_a_cancel_and_an_end_race_to_one_end(
    db: Database, app_db: Database, database_url: str, figures: Figures, many: Many
) -> None:
    await save_bundle(db)
    chance, bells = Random(42), Bells()  # a repeatable disorder
    settler, canceller = Settler(db, bells, window=1000), Canceller(app_db, bells)
    told: dict[str, str] = {}
    late = []

    async def settle(claimed) -> None:
        if await settler(succeeded(claimed, Finish('"done"')), "w:1"):
            assert told.setdefault(claimed.run_id, "succeeded") == "succeeded"

    async def cancel(run_id: str) -> None:
        if await canceller.cancel(run_id, tenant_id=TENANT):
            assert told.setdefault(run_id, "cancelled") == "cancelled"

    pairs = many(200, 10_000)
    while len(told) < pairs:
        new = [new_run() for _ in range(min(chance.choice([1, 2, 20, 100]), pairs - len(told)))]
        accepted = await run_store.submit(app_db, TENANT, new, window=100_000)
        claimed = await step_store.claim(db, [run.step_id for run in accepted.values()], worker="w:1", lease=LEASE)
        racers = [settle(one) for one in claimed] + [cancel(one.run_id) for one in claimed]
        chance.shuffle(racers)
        await asyncio.gather(*racers)
        late += claimed
    assert set(told.values()) == {"succeeded", "cancelled"}, "each wins sometimes"

    ends = "SELECT r.id::text, r.state, array_agg(e.type ORDER BY e.seq) FROM runs r JOIN run_events e ON e.run_id = r.id GROUP BY r.id"
    found = {run_id: (state, events) for run_id, state, events in execute(database_url, ends)}
    for start in range(0, pairs, 100):  # and again, when all is over: nothing moves
        some = late[start : start + 100]
        assert not any(await asyncio.gather(*(settler(succeeded(one, Finish('"again"')), "w:1") for one in some)))
        assert not await canceller.end(
            [one.run_id for one in some], RunState.CANCELLED, "cancelled", "again", tenant_id=TENANT
        )
    again = {run_id: (state, events) for run_id, state, events in execute(database_url, ends)}
    flips = sum(found[run_id] != again[run_id] or found[run_id][0] != told[run_id] for run_id in told)
    assert flips == 0
    for run_id, state in told.items():
        expected = ["run.queued", *(["step.succeeded"] if state == "succeeded" else []), f"run.{state}"]
        assert found[run_id][1] == expected
    assert not execute(database_url, "SELECT FROM runs WHERE output <> %s", json.dumps("done"))
    invariants.check(database_url)
    figures.note("F42", n=len(told), flips=flips)
