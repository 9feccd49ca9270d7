"""Token deltas are sent only while somebody listens, a few times a second, and do not stay."""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from agentfleet.broker import deltas as module
from agentfleet.broker import names
from agentfleet.broker.deltas import RedisDeltas
from tests.scripted import until

RUN, STEP = "run-1", "step-1"
STREAM = names.deltas("agentfleet", RUN)


@pytest.fixture
async def deltas(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisDeltas]:
    monkeypatch.setattr(module, "LOOK_EVERY", 1)
    monkeypatch.setattr(module, "FLUSH_EVERY", 0.01)
    made = RedisDeltas(redis, prefix="agentfleet")
    yield made
    await made.close()


async def texts(redis: Redis) -> list[str]:
    return [json.loads(fields[b"d"])["text"] for _, fields in await redis.xrange(STREAM)]


async def test_pieces_arrive_joined_while_somebody_listens(deltas: RedisDeltas, redis: Redis) -> None:
    await redis.set(names.listeners("agentfleet", RUN), "1")
    write = deltas.writer(RUN, STEP)

    async def heard() -> bool:
        write("")
        return bool(await texts(redis))

    await until(heard, "the writer is wanted")
    before = len(await texts(redis))
    for piece in ("Hel", "lo, ", "world"):
        write(piece)

    async def arrived() -> bool:
        return "".join(await texts(redis)) == "Hello, world"

    await until(arrived, "the text has arrived")
    assert len(await texts(redis)) == before + 1, "one write for what came within one flush"
    assert 0 < await redis.ttl(STREAM) <= module.TTL
    assert json.loads((await redis.xrevrange(STREAM, count=1))[0][1][b"d"])["step_id"] == STEP


async def test_nothing_is_sent_while_nobody_listens(deltas: RedisDeltas, redis: Redis) -> None:
    other = names.listeners("agentfleet", "run-2")
    await redis.set(other, "1")
    write, heard = deltas.writer(RUN, STEP), deltas.writer("run-2", "step-2")

    async def sent() -> bool:
        write("to nobody")
        heard("to somebody")
        return bool(await redis.exists(names.deltas("agentfleet", "run-2")))

    await until(sent, "the other run's text has arrived")
    assert not await redis.exists(STREAM)


async def test_a_call_that_has_ended_is_forgotten(deltas: RedisDeltas) -> None:
    write = deltas.writer(RUN, STEP)
    assert len(deltas._writers) == 1
    del write
    gc.collect()
    assert len(deltas._writers) == 0


async def test_a_cancellation_that_redis_swallows_ends_it_all_the_same(
    deltas: RedisDeltas, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def swallow() -> None:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr(deltas, "_look", swallow)
    write = deltas.writer(RUN, STEP)
    await asked.wait()
    async with asyncio.timeout(10):
        await deltas.close()
    del write


async def test_a_broken_redis_loses_text_and_nothing_else(unused_tcp_port: int) -> None:
    async with Redis(port=unused_tcp_port, retry=None) as nowhere:
        deltas = RedisDeltas(nowhere, prefix="agentfleet")
        write = deltas.writer(RUN, STEP)
        write.wanted = True
        write("lost")

        async def flushed() -> bool:
            return not write.pieces

        await until(flushed, "it was tried")
        assert deltas._task is not None
        assert not deltas._task.done()
        await deltas.close()
