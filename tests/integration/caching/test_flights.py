"""Single flight over a real Redis; each ``Flights`` stands for one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from agentfleet.caching import flights as module
from agentfleet.caching.flights import Flight, Flights
from agentfleet.caching.lenient import Lenient

KEY = "test:thing"
LONG = 600.0
"""Longer than a test may take: who waits for it hangs."""


@pytest.fixture
def processes(redis: Redis) -> list[Flights]:
    return [Flights(redis, cuts="test:cuts") for _ in range(4)]


@pytest.fixture
async def gone() -> AsyncIterator[Redis]:
    """A client of a Redis that is not there."""
    async with Redis.from_url("redis://127.0.0.1:9") as client:
        yield client


async def land(redis: Redis, value: bytes = b"0:it") -> None:
    await redis.set(KEY, value, px=60_000)


async def look(flights: Flights, patience: float = LONG) -> Flight:
    async with flights.join(KEY, patience=patience) as flight:
        return flight


async def looking(processes: list[Flights], each: int) -> list["asyncio.Task[Flight]"]:
    """``each`` waiters per process, every one of which has begun to wait."""
    tasks = [asyncio.create_task(look(flights)) for flights in processes for _ in range(each)]
    while not all((lookout := flights._lookouts.get(KEY)) and lookout.naps for flights in processes):  # noqa: ASYNC110
        await asyncio.sleep(0)
    return tasks


async def test_one_leads_and_all_others_in_all_processes_get_what_it_fetched(redis: Redis, processes: list[Flights]):
    fetched = 0

    async def want(flights: Flights) -> bytes:
        nonlocal fetched
        async with flights.join(KEY, patience=LONG) as flight:
            if flight.value is None:
                fetched += 1
                assert flight.leads
                await asyncio.sleep(0)
                await land(redis)
                return b"it"
            return flight.value

    assert set(await asyncio.gather(*(want(flights) for flights in processes for _ in range(25)))) == {b"it"}
    assert fetched == 1


async def test_who_comes_later_does_not_wait(redis: Redis, processes: list[Flights]):
    await land(redis)
    flight = await look(processes[0])
    assert (flight.value, flight.leads, flight.waited) == (b"it", False, False)


async def test_only_who_found_somebody_leading_has_waited(redis: Redis, processes: list[Flights]):
    async with processes[0].join(KEY, patience=LONG):
        waiting = await looking(processes[:1], 5)
        await land(redis)
        assert [flight.waited for flight in await asyncio.gather(*waiting)] == [True] * 5
    flights = await asyncio.gather(*(look(processes[0]) for _ in range(25)))
    assert [flight.waited for flight in flights] == [False] * 25


async def test_a_leader_that_fails_is_followed_by_the_next(processes: list[Flights], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LEASE", LONG)
    followers: list[asyncio.Task[Flight]] = []

    async def fail() -> None:
        async with processes[0].join(KEY, patience=LONG) as flight:
            assert flight.leads
            followers.extend(await looking(processes[1:2], 1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert (await followers[0]).leads


async def test_a_hundred_leaders_that_fail_one_after_the_other_hold_nobody_up(
    processes: list[Flights], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "FIRST_LOOK", LONG)  # who is not called sleeps for ever
    monkeypatch.setattr(module, "LAST_LOOK", LONG)
    assert all(flight.leads for flight in await asyncio.gather(*(look(processes[0]) for _ in range(100))))


async def test_a_leader_that_is_cancelled_is_followed_by_the_next(
    processes: list[Flights], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LEASE", LONG)
    leading = asyncio.Event()

    async def lead() -> None:
        async with processes[0].join(KEY, patience=LONG):
            leading.set()
            await asyncio.Event().wait()

    leader = asyncio.create_task(lead())
    await leading.wait()
    [follower] = await looking(processes[1:2], 1)
    leader.cancel()
    assert (await follower).leads


async def test_a_dead_leader_loses_the_lead_with_its_lease(
    redis: Redis, processes: list[Flights], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LEASE", 0.2)
    monkeypatch.setattr(module, "RENEW", 3_600)
    async with processes[0].join(KEY, patience=LONG):  # it says nothing more, as if its process were gone
        assert (await look(processes[1])).leads


async def test_a_leader_that_lives_keeps_the_lead_beyond_its_lease(
    redis: Redis, processes: list[Flights], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "RENEW", 0.01)
    async with processes[0].join(KEY, patience=LONG) as flight:
        await redis.pexpire(f"{KEY}:lead", 400)
        while await redis.pttl(f"{KEY}:lead") <= 400:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert (await redis.get(f"{KEY}:lead")) == flight.token.encode()


async def test_patience_ends_and_then_nobody_leads(processes: list[Flights]):
    async with processes[0].join(KEY, patience=LONG):
        flights = await asyncio.gather(*(look(one, patience=0.05) for one in processes for _ in range(5)))
    assert {(flight.value, flight.leads, flight.waited) for flight in flights} == {(None, False, True)}


async def test_who_lost_the_lead_does_not_end_that_of_another(redis: Redis, processes: list[Flights]):
    async with processes[0].join(KEY, patience=LONG):
        await redis.delete(f"{KEY}:lead")  # a flush of Redis
        async with AsyncExitStack() as other:
            flight = await other.enter_async_context(processes[1].join(KEY, patience=LONG))
            assert flight.leads
            await processes[0].release(Flight(leads=True, key=KEY, token="mine"))
            assert await redis.get(f"{KEY}:lead") == flight.token.encode()


async def test_nobody_waits_while_redis_is_away(gone: Redis):
    flights = Flights(gone, cuts="test:cuts")
    async with AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(flights.join(KEY, patience=LONG)) for _ in range(50)]
    assert {(flight.value, flight.leads) for flight in joined} == {(None, False)}


async def test_a_redis_that_failed_is_left_alone_for_a_while():
    asked: list[int] = []

    async def fail() -> None:
        asked.append(1)
        raise OSError

    lenient = Lenient()
    assert [await lenient(fail) for _ in range(5)] == [None] * 5
    assert len(asked) == 1


async def test_a_value_from_before_a_cut_is_fetched_again(redis: Redis, processes: list[Flights]):
    await land(redis, b"1000:old")
    await redis.hset("test:cuts", mapping={"tag:a": 999, "tag:b": 1000})
    async with processes[0].join(KEY, patience=LONG, labels=["tag:a", "tag:c"]) as flight:
        assert flight.value == b"old"
    async with processes[0].join(KEY, patience=LONG, labels=["tag:a", "tag:b"]) as flight:
        assert flight.leads
