"""The loop thread: what it takes it finishes or hands back, and when it dies somebody hears of it."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from agentfleet.broker import names
from agentfleet.broker.loop import LoopThread, Serving
from agentfleet.broker.request import StepRequest
from agentfleet.broker.watchdog import Watchdog
from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.states import StepState
from agentfleet.engine.ports import ToolResult
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from tests.factories import execute, make_step, make_tool, step_row
from tests.scripted import Bells, Script, Tools, Worker, answer, until

CHANNEL = names.revoke("agentfleet")
PATIENCE = 0.3
LIVELY = itertools.count().__next__
Serve = Callable[[], AbstractAsyncContextManager[Serving]]


def request(step_id: str) -> StepRequest:
    headers = {"id": step_id, "task": names.STEP_TASK}
    return StepRequest(SimpleNamespace(headers=headers), "steps@test", lambda *_: None)


def serving(
    database_url: str,
    redis_url: str,
    tools: Tools | None = None,
    *,
    pops: Callable[[], int] = LIVELY,
) -> Serve:
    """A step server on scripted ports, built on the loop that uses it; ``pops`` says how many pops have ended."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[Serving]:
        db = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-loop", pool_size=2))
        await db.open()
        async with Redis.from_url(redis_url) as redis:
            watchdog = Watchdog(redis, names.queue("agentfleet", "default"), pops=pops, patience=PATIENCE)
            yield Serving(Worker(db, Bells(), Script([answer()]), tools).server(), redis, CHANNEL, watchdog)
        await db.close()

    return serve


class Thread(LoopThread):
    """A loop thread that was started, and what it reported."""

    def __init__(self, serve: Serve, capacity: int = 100) -> None:
        self.dead = threading.Event()
        super().__init__(serve, resting=lambda running: running >= capacity, died=self.dead.set)
        self.start()

    @property
    def outcomes(self) -> list[str | None]:
        return [done.outcome for done in self.done]

    def end(self, within: float) -> None:
        self.drain(within)
        assert self.join(60)


async def test_a_start_that_fails_raises_where_it_was_asked_for() -> None:
    @asynccontextmanager
    async def serve() -> AsyncIterator[Serving]:
        raise InvalidInput("AGENTFLEET_AGENTS", "is no module")
        yield

    died = threading.Event()
    with pytest.raises(InvalidInput, match="is no module"):
        LoopThread(serve, resting=bool, died=died.set).start()
    assert not died.is_set(), "nothing that ran has died"


async def test_a_start_that_takes_long_can_be_given_up(database_url: str, redis_url: str) -> None:
    @asynccontextmanager
    async def serve() -> AsyncIterator[Serving]:
        await Database(DatabaseConfig("postgresql://127.0.0.1:1/x", None, "test-nowhere")).open()
        async with serving(database_url, redis_url)() as one:
            yield one

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LoopThread(serve, resting=bool, died=lambda: None).start(stop)


async def test_steps_are_reported_with_one_wake_for_many(db: Database, database_url: str, redis_url: str) -> None:
    thread = Thread(serving(database_url, redis_url))
    wakes: list[int] = []
    thread.on_done = lambda: wakes.append(1)
    made = [await make_step(db, StepState.DISPATCHED) for _ in range(10)]
    for one in made:
        thread.take(request(one.step_id))

    async def reported() -> bool:
        return len(thread.done) == len(made) and bool(wakes)

    await until(reported, "all have ended")
    thread.end(60)
    assert thread.outcomes == ["succeed"] * 10
    assert len(wakes) == 1, "nobody has looked since the first wake"


async def test_a_step_that_is_claimed_in_the_moment_of_the_stop_is_handed_back(
    db: Database, database_url: str, redis_url: str
) -> None:
    thread = Thread(serving(database_url, redis_url))
    made = await make_step(db, StepState.DISPATCHED)
    thread.take(request(made.step_id))
    thread.end(0)
    row = await step_row(db, made.step_id)
    assert (row.state, row.attempt) in {("ready", 0), ("succeeded", 1)}
    assert thread.outcomes in (["hand_back"], [None], ["succeed"])


async def test_a_hurry_cuts_a_drain_short(db: Database, database_url: str, redis_url: str) -> None:
    begun = threading.Event()

    async def sleep_long(_: object) -> ToolResult:
        begun.set()
        await asyncio.Event().wait()
        return ToolResult("never")

    thread = Thread(serving(database_url, redis_url, Tools(sleep_long)))
    made = await make_tool(db, state=StepState.DISPATCHED)
    thread.take(request(made.step_id))

    async def runs() -> bool:
        return begun.is_set()

    await until(runs, "the tool runs")
    thread.drain(3_600)

    async def ended() -> bool:
        thread.hurry()
        return thread.join(0.01)

    await until(ended, "the drain has ended")
    assert thread.outcomes == ["hand_back"]
    assert (await step_row(db, made.step_id)).attempt == 0


async def test_poison_outlasts_a_lost_connection(db: Database, database_url: str, redis_url: str) -> None:
    thread = Thread(serving(database_url, redis_url))
    execute(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-loop'",
    )
    thread.bury(b"\xff", "unreadable")
    thread.end(60)
    assert [bytes(raw) for (raw,) in execute(database_url, "SELECT raw FROM dead_letters")] == [b"\xff"]


async def test_a_strange_message_on_the_revoke_channel_deafens_nobody(
    db: Database, database_url: str, redis_url: str, redis: Redis
) -> None:
    begun = threading.Event()

    async def sleep_long(_: object) -> ToolResult:
        begun.set()
        await asyncio.Event().wait()
        return ToolResult("never")

    thread = Thread(serving(database_url, redis_url, Tools(sleep_long)))
    made = await make_tool(db, state=StepState.DISPATCHED)
    thread.take(request(made.step_id))

    async def revoked() -> bool:
        if begun.is_set():
            await redis.publish(CHANNEL, b"\xff\xfe nonsense")
            await redis.publish(CHANNEL, made.step_id)
        return bool(thread.done)

    await until(revoked, "the step has stopped")
    assert thread.outcomes == ["revoked"]
    thread.end(60)


async def test_a_tool_that_exits_takes_no_other_step_with_it(db: Database, database_url: str, redis_url: str) -> None:
    async def leave(_: object) -> ToolResult:
        raise SystemExit(3)

    thread = Thread(serving(database_url, redis_url, Tools(leave)))
    first, second = await make_tool(db, state=StepState.DISPATCHED), await make_step(db, StepState.DISPATCHED)
    thread.take(request(first.step_id))
    thread.take(request(second.step_id))

    async def reported() -> bool:
        return len(thread.done) == 2

    await until(reported, "both have ended")
    assert sorted(map(str, thread.outcomes)) == ["None", "succeed"]
    assert not thread.dead.is_set()
    thread.end(60)


async def test_a_loop_that_dies_says_so(database_url: str, redis_url: str) -> None:
    thread = Thread(serving(database_url, redis_url))

    def leave() -> None:
        raise SystemExit(3)

    thread._call(leave)
    assert thread.join(60)
    assert thread.dead.is_set()
    thread.close()
    thread.hurry()
    thread.drain(0)


async def sleep_for_ever(_: object) -> ToolResult:
    await asyncio.Event().wait()
    return ToolResult("never")


async def test_a_deaf_consumer_ends_the_loop_which_hands_back(db: Database, database_url: str, redis_url: str) -> None:
    thread = Thread(serving(database_url, redis_url, Tools(sleep_for_ever), pops=lambda: 7))
    made = await make_tool(db, state=StepState.DISPATCHED)
    thread.take(request(made.step_id))
    assert thread.join(60)
    assert thread.dead.is_set()
    assert thread.outcomes == ["hand_back"]


async def test_a_full_worker_is_not_called_deaf(db: Database, database_url: str, redis_url: str) -> None:
    asked: list[int] = []
    pops = itertools.count()

    def silent_once_full() -> int:
        return 7 if 1 in asked else next(pops)

    thread = Thread(serving(database_url, redis_url, Tools(sleep_for_ever), pops=silent_once_full), capacity=1)
    resting = thread._resting
    thread._resting = lambda running: asked.append(running) or resting(running)
    made = await make_tool(db, state=StepState.DISPATCHED)
    thread.take(request(made.step_id))

    async def many_looks() -> bool:
        return asked.count(1) > 10

    await until(many_looks, "the watchdog has looked often enough")
    assert not thread.dead.is_set()
    thread.end(0)
    assert thread.outcomes == ["hand_back"]
