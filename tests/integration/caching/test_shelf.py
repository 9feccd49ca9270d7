"""The shelf on a real Redis: caps, cuts, lifetimes."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.caching.reuse import Reuse
from agentfleet.caching.shelf import Counted, Shelf, Wanted

HOUR = timedelta(hours=1)
CAP = 16_000


@pytest.fixture
def shelf(redis: Redis) -> Shelf:
    return Shelf(redis, prefix="test", patience=20, cap=CAP)


def want(digest: str = "d", ttl: timedelta = HOUR, **changes: object) -> Wanted:
    labels = changes.pop("labels", ("agent:shop", "bundle:b_1", "tenant:acme"))
    return Wanted("answer", "shop", digest, Reuse(ttl=ttl, **changes), labels)


async def fill(shelf: Shelf, wanted: Wanted, value: bytes = b"it") -> bool:
    """Look, and keep ``value`` if there is nothing; whether there was nothing."""
    async with shelf.look(wanted) as place:
        if place.value is None:
            await place.keep(value)
            return True
        assert place.value == value
        return False


async def test_what_was_kept_is_found(shelf: Shelf):
    assert await fill(shelf, want(), b"\x00:it:\xff")
    assert not await fill(shelf, want(), b"\x00:it:\xff")
    assert await fill(shelf, want("other"))


@pytest.mark.parametrize("label", ["agent:shop", "bundle:b_1", "tenant:acme", "tag:catalogue", "all"])
async def test_a_cut_makes_void_what_has_the_label(shelf: Shelf, label: str):
    mine, other = want(tags=["catalogue"]), want("other", tags=["news"], labels=("agent:x", "bundle:b_2", "tenant:y"))
    await fill(shelf, mine)
    await fill(shelf, other)
    await shelf.invalidate([label])
    assert await fill(shelf, mine)
    assert await fill(shelf, other) == (label == "all")
    assert not await fill(shelf, mine)


async def test_an_answer_that_is_fetched_during_a_cut_is_void(shelf: Shelf):
    async with shelf.look(want()) as place:
        await shelf.invalidate(["agent:shop"])
        await place.keep(b"of before")
    assert await fill(shelf, want())


async def test_an_answer_dies_with_its_ttl(shelf: Shelf, redis: Redis):
    await fill(shelf, want(ttl=timedelta(seconds=90)))
    [key] = await redis.keys("test:cache:answer:*")
    assert 80 < await redis.ttl(key) <= 90


async def test_an_answer_of_a_period_that_has_ended_is_void(shelf: Shelf, redis: Redis):
    daily = want(period=timedelta(days=1))
    await fill(shelf, daily)
    assert not await fill(shelf, daily)
    [key] = await redis.keys("test:cache:answer:*")
    since, _, payload = (await redis.get(key)).partition(b":")
    midnight = int(since) - int(since) % 86_400_000_000
    await redis.set(key, b"%d:%s" % (midnight, payload))
    assert not await fill(shelf, daily)
    await redis.set(key, b"%d:%s" % (midnight - 1, payload))
    assert await fill(shelf, daily)


async def test_the_shelf_never_holds_more_than_its_cap_and_drops_what_would_die_next(shelf: Shelf, redis: Redis):
    for n in range(40):
        await fill(shelf, want(str(n), ttl=timedelta(hours=n + 1)), b"x" * 900)
        assert (await shelf.stock()).size <= CAP
    kept = {int(key.rpartition(b":")[2]) for key in await redis.keys("test:cache:answer:*")}
    assert kept == set(range(40 - CAP // (900 + len("1763744400000000:")), 40))


async def test_one_answer_does_not_take_the_whole_shelf(shelf: Shelf):
    assert await fill(shelf, want(), b"x" * (CAP // 16 + 1))
    assert await fill(shelf, want(), b"x" * (CAP // 16))
    assert not await fill(shelf, want(), b"x" * (CAP // 16))


async def test_the_books_stay_right_however_often_an_answer_is_fetched_again(shelf: Shelf, redis: Redis):
    for value in (b"1", b"22", b"22", b"333", b"22"):
        await shelf.invalidate(["all"])
        await fill(shelf, want(), value)
        [key] = await redis.keys("test:cache:answer:*")
        stock = await shelf.stock()
        assert (stock.entries, stock.size) == (1, await redis.strlen(key))
        assert await redis.zcard("test:cache:index") == 1


async def test_what_has_died_is_struck_from_the_books(shelf: Shelf, redis: Redis):
    await fill(shelf, want("short", ttl=timedelta(milliseconds=5)))
    while await redis.keys("test:cache:answer:*"):  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    assert (await shelf.stock()).entries == 0
    await fill(shelf, want("next"))
    [key] = await redis.keys("test:cache:answer:*")
    assert (await shelf.stock()).size == await redis.strlen(key)


async def test_clearing_leaves_no_answer_behind(shelf: Shelf, redis: Redis):
    for n in range(10):
        await fill(shelf, want(str(n)))
    assert await shelf.clear() == 10
    assert await redis.keys("test:cache:answer:*") == []
    assert ((await shelf.stock()).entries, (await shelf.stock()).size) == (0, 0)


async def test_the_counts_say_what_was_kept_and_used_again(shelf: Shelf):
    for _ in range(4):
        await fill(shelf, want())
    assert (await shelf.stock()).counts == {("answer", "shop"): Counted(kept=1, hits=3)}


async def test_every_key_dies_by_itself(shelf: Shelf, redis: Redis):
    await fill(shelf, want())
    await fill(shelf, want())
    await shelf.invalidate(["tag:x"])
    ttls = {key: await redis.ttl(key) for key in await redis.keys("*")}
    assert min(ttls.values()) > 0
    assert len(ttls) == 5


async def test_a_full_redis_keeps_nothing_and_breaks_nothing(shelf: Shelf, redis: Redis):
    await redis.config_set("maxmemory", 1)
    try:
        assert await fill(shelf, want())
    finally:
        await redis.config_set("maxmemory", 0)


async def test_no_redis_is_a_miss():
    async with Redis.from_url("redis://127.0.0.1:9") as gone:
        shelf = Shelf(gone, prefix="test", patience=20, cap=CAP)
        assert [await fill(shelf, want()) for _ in range(3)] == [True] * 3
        with pytest.raises(RedisError):
            await shelf.invalidate(["all"])
