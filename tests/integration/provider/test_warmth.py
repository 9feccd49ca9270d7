"""Siblings take turns over a real Redis; each ``Warmth`` stands for one process."""

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from agentfleet.domain.model import Bundle
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.warmth import Warmth
from tests.integration.provider.talk import ask

LONG = 600.0
"""Longer than a test may take: who waits for it hangs."""
ACCOUNT = "main"


@pytest.fixture
def processes(redis: Redis) -> list[Warmth]:
    return [Warmth(redis, prefix="test", patience=LONG) for _ in range(3)]


def sibling(bundle_id: str = "b_long", instructions: str = "word " * 2_000, **changes: object) -> ReasonRequest:
    request = ask(instructions=instructions, **changes)
    return replace(request, bundle=Bundle(bundle_id, "tester", request.bundle.spec))


class Calls:
    """Calls of the model that say their first byte and end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[bool] = []
        """Whether each call that was made found the prefix warm."""
        self.speak = asyncio.Event()
        self.end = asyncio.Event()

    async def make(self, warmth: Warmth, request: ReasonRequest | None = None, account: str = ACCOUNT) -> None:
        async with warmth.turn(request or sibling(), account) as turn:
            self.begun.append(turn.warm)
            await self.speak.wait()
            turn.first_byte()
            turn.first_byte()
            await self.end.wait()

    async def reach(self, count: int) -> None:
        """Wait until ``count`` calls are under way."""
        while len(self.begun) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_siblings_go_once_the_first_has_spoken_and_not_when_it_ends(processes: list[Warmth]):
    calls = Calls()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(calls.make(processes[0]))
        await calls.reach(1)
        for warmth in processes:
            for _ in range(10):
                group.create_task(calls.make(warmth))
        stranger = Calls()  # what it needs is not what the others wait for
        group.create_task(stranger.make(processes[0], sibling("b_other", "other " * 2_000)))
        await stranger.reach(1)
        assert calls.begun == [False]
        calls.speak.set()
        await calls.reach(31)
        assert not first.done()
        calls.end.set()
        stranger.speak.set()
        stranger.end.set()
    assert calls.begun == [False] + [True] * 30


async def test_a_first_call_that_fails_lets_the_next_one_go_first(processes: list[Warmth]):
    calls = Calls()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(calls.make(processes[0]))
        await calls.reach(1)
        for warmth in processes:
            group.create_task(calls.make(warmth))
        first.cancel()
        await calls.reach(2)
        calls.speak.set()
        calls.end.set()
    assert calls.begun == [False, False, True, True]


async def test_patience_ends(redis: Redis):
    hasty = Warmth(redis, prefix="test", patience=0.05)
    calls = Calls()
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(calls.make(hasty))
        await calls.reach(5)
        calls.speak.set()
        calls.end.set()
    assert calls.begun == [False] * 5


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (sibling("b_short", "Be brief."), sibling("b_short", "Be brief.")),
        (sibling("b_off", cache=False), sibling("b_off", cache=False)),
        (sibling(), replace(sibling(), model="claude-haiku-5-5")),
        (sibling(), sibling("b_other", "other " * 2_000)),
    ],
    ids=["too short to be cached", "cache=False", "another model", "another prefix"],
)
async def test_nobody_waits_for_what_would_not_help(
    processes: list[Warmth], first: ReasonRequest, second: ReasonRequest
):
    assert await both_go(processes[0], (first, ACCOUNT), (second, ACCOUNT)) == [False, False]


async def test_nobody_waits_for_another_organisation(processes: list[Warmth]):
    assert await both_go(processes[0], (sibling(), ACCOUNT), (sibling(), "another")) == [False, False]


async def test_two_bundles_with_one_prefix_are_siblings(processes: list[Warmth]):
    calls = Calls()
    async with asyncio.TaskGroup() as group:
        group.create_task(calls.make(processes[0]))
        await calls.reach(1)
        group.create_task(calls.make(processes[1], sibling("b_newer", max_tokens=7)))
        calls.speak.set()
        calls.end.set()
    assert calls.begun == [False, True]


async def both_go(warmth: Warmth, *calls_: tuple[ReasonRequest, str]) -> list[bool]:
    """Begin each call after the other, none of which speaks before all are under way; which ones were warm."""
    calls = Calls()
    async with asyncio.TaskGroup() as group:
        for number, (request, account) in enumerate(calls_, start=1):
            group.create_task(calls.make(warmth, request, account))
            await calls.reach(number)
        calls.speak.set()
        calls.end.set()
    return calls.begun


async def test_nobody_waits_with_patience_zero_or_without_redis(redis: Redis):
    async with Redis.from_url("redis://127.0.0.1:9") as gone:
        for warmth in (Warmth(redis, prefix="test", patience=0), Warmth(gone, prefix="test", patience=LONG)):
            calls = Calls()
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(calls.make(warmth))
                await calls.reach(20)
                calls.speak.set()
                calls.end.set()
            assert calls.begun == [False] * 20


async def spoken(warmth: Warmth, request: ReasonRequest) -> bool:
    async with warmth.turn(request, ACCOUNT) as turn:
        turn.first_byte()
        return turn.warm


@pytest.mark.parametrize(("age", "seconds"), [(None, 300), (300.0, 3_600)])
async def test_a_prefix_is_warm_for_as_long_as_it_was_paid_for(
    redis: Redis, processes: list[Warmth], age: float | None, seconds: int
):
    await spoken(processes[0], replace(sibling(), prompt_age=age))
    [key] = await redis.keys("test:warm:*")
    assert seconds - 10 < await redis.ttl(key) <= seconds


async def test_a_prefix_that_is_used_stays_warm_and_nobody_shortens_it(redis: Redis, processes: list[Warmth]):
    await spoken(processes[0], replace(sibling(), prompt_age=300.0))
    assert await spoken(processes[1], sibling())
    [key] = await redis.keys("test:warm:*")
    assert await redis.ttl(key) > 3_000
    await redis.expire(key, 100)
    assert await spoken(processes[2], sibling())
    assert await redis.ttl(key) > 250


async def test_who_knows_that_it_is_warm_asks_nobody(redis: Redis, processes: list[Warmth]):
    assert not await spoken(processes[0], sibling())
    await redis.flushall()
    assert await spoken(processes[0], sibling())
    assert await redis.keys("*") == []


async def test_the_lead_ends_with_the_first_byte(redis: Redis, processes: list[Warmth]):
    async with processes[0].turn(sibling(), ACCOUNT) as turn:
        turn.first_byte()
        await turn.told()
        assert await redis.keys("*:lead") == []
