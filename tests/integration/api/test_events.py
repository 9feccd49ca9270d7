"""The event stream: gap-free from Postgres, deltas from Redis as far as they come."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import structlog
from redis.asyncio import Redis
from structlog.testing import capture_logs

from agentfleet import bootstrap
from agentfleet.api import deltas, schemas
from agentfleet.api import events as api_events
from agentfleet.api.app import create_app
from agentfleet.broker import names
from agentfleet.broker.deltas import RedisDeltas
from tests.integration.api.answers import events, problem
from tests.integration.api.test_wait import until_unwatched
from tests.integration.api.waits import until, until_answer

PREFIX = "agentfleet"


async def frames(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The frames of a live stream as they come; a comment is ``{"comment"}``."""
    found: dict[str, Any] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield {"comment": line[1:].strip()}
        elif line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "data" in found:
            yield found
            found = {}
        else:
            found = {}


async def test_a_finished_run_is_told_from_the_first_event_to_the_last(client, submit, hands) -> None:
    run = await submit()
    await hands.call_tool(run["id"])
    await client.post(run["urls"]["cancel"])
    response = await client.get(run["urls"]["events"])
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    found = events(response.text)
    assert [(f["id"], f["event"]) for f in found] == [
        ("1", "run.queued"), ("2", "step.succeeded"), ("3", "run.cancelled"),
    ]  # fmt: skip
    for frame in found:
        event = schemas.Event.model_validate_json(frame["data"])
        assert (str(event.seq), event.type) == (frame["id"], frame["event"])
    assert orjson.loads(found[1]["data"])["data"]["name"] == "claude-sonnet-5-5"


async def test_a_reader_goes_on_where_it_stopped(client, submit) -> None:
    run = await submit()
    await client.post(run["urls"]["cancel"])
    for headers, query, ids in (
        ({"Last-Event-ID": "1"}, "", ["2"]),
        ({}, "?after=1", ["2"]),
        ({"Last-Event-ID": "1"}, "?after=2", ["2"]),
        ({}, "?after=0", ["1", "2"]),
    ):
        response = await client.get(run["urls"]["events"] + query, headers=headers)
        assert [frame["id"] for frame in events(response.text)] == ids


async def test_a_reader_that_has_seen_everything_is_told_not_to_come_back(client, submit) -> None:
    run = await submit()
    await client.post(run["urls"]["cancel"])
    response = await client.get(run["urls"]["events"], headers={"Last-Event-ID": "2"})
    assert (response.status_code, response.content) == (204, b"")


async def test_an_event_id_that_is_none_is_refused(client, submit) -> None:
    run = await submit()
    for last in ("x", "-1", "1.5", "2147483648", "\u0665", "9" * 5_000):
        response = await client.get(run["urls"]["events"], headers={"Last-Event-ID": last.encode()})
        assert problem(response, 400) == "invalid_header"
    assert problem(await client.get(run["urls"]["events"] + "?after=-1"), 422) == "invalid_request"


async def test_events_come_as_they_happen_and_the_stream_ends_with_the_run(http, submit, hands) -> None:
    run = await submit()
    async with http.stream("GET", run["urls"]["events"]) as response:
        stream = frames(response)
        assert (await anext(stream))["event"] == "run.queued"
        await hands.call_tool(run["id"])
        assert (await anext(stream))["event"] == "step.succeeded"
        await hands.finish(run["id"])
        assert [frame["event"] async for frame in stream] == ["step.succeeded", "run.succeeded"]


async def test_a_run_that_needs_review_keeps_its_stream_open(http, submit, hands) -> None:
    run = await submit()
    async with http.stream("GET", run["urls"]["events"]) as response:
        stream = frames(response)
        await anext(stream)
        await hands.bury(run["id"])
        assert [(await anext(stream))["event"] for _ in range(2)] == ["step.dead", "run.needs_review"]
        await http.post(run["urls"]["cancel"])
        assert [frame["event"] async for frame in stream] == ["run.cancelled"]


async def test_silence_is_broken_by_heartbeats(http, submit, monkeypatch) -> None:
    monkeypatch.setattr(api_events, "HEARTBEAT", 0.05)
    run = await submit()
    async with http.stream("GET", run["urls"]["events"]) as response:
        stream = frames(response)
        assert (await anext(stream))["event"] == "run.queued"
        assert [await anext(stream) for _ in range(2)] == [{"comment": "still here"}] * 2


async def test_hanging_up_does_not_cancel_the_run(http, submit, app) -> None:
    run = await submit()
    async with http.stream("GET", run["urls"]["events"]) as response:
        await anext(frames(response))
    await until_unwatched(app)
    assert app.state.services.deltas._ears == {}
    assert (await http.get(run["urls"]["self"])).json()["status"] == "queued"


async def test_a_process_that_stops_closes_its_streams(http, submit, app) -> None:
    run = await submit()
    async with http.stream("GET", run["urls"]["events"]) as response:
        stream = frames(response)
        await anext(stream)
        app.state.services.watch.stop()
        assert [frame async for frame in stream] == []


async def test_the_models_words_come_while_it_speaks(http, submit, hands, redis: Redis) -> None:
    run = await submit()
    claimed = await hands.claim(run["id"])
    writers = RedisDeltas(redis, prefix=PREFIX)
    try:
        async with http.stream("GET", run["urls"]["events"]) as response:
            stream = frames(response)
            await anext(stream)
            write, said = writers.writer(run["id"], claimed.step_id), ""
            speaking = asyncio.create_task(_speak(write))
            while len(said) < 4:
                frame = await anext(stream)
                assert (frame["event"], "id" in frame) == ("delta", False)
                delta = schemas.Delta.model_validate_json(frame["data"])
                assert delta.step_id == claimed.step_id
                said += delta.text
            speaking.cancel()
            assert set(said) == {"\n"}
            assert 0 < await redis.ttl(names.listeners(PREFIX, run["id"])) <= 30
            await hands.settle(hands.answer(claimed))
            ended = [frame["event"] async for frame in stream if frame["event"] != "delta"]
            assert ended == ["step.succeeded", "run.succeeded"]
    finally:
        await writers.close()


async def _speak(write) -> None:
    """Say line breaks, which a stream of lines must not take for its own, until somebody listened long enough."""
    while True:
        write("\n")
        await asyncio.sleep(0.01)


async def test_what_was_said_before_somebody_listened_is_not_repeated(http, submit, redis: Redis) -> None:
    run = await submit()
    stream_name = names.deltas(PREFIX, run["id"])
    await redis.xadd(stream_name, {"d": b'{"step_id":"old","text":"old"}'})
    async with http.stream("GET", run["urls"]["events"]) as response:
        stream = frames(response)
        await anext(stream)
        await until_answer(lambda: redis.exists(names.listeners(PREFIX, run["id"])))
        await redis.xadd(stream_name, {"d": b"not ours"})
        await redis.xadd(stream_name, {"d": b'{"step_id":"new","text":"new"}'})
        assert orjson.loads((await anext(stream))["data"]) == {"step_id": "new", "text": "new"}


async def test_a_reader_without_redis_goes_on_trying(monkeypatch) -> None:
    monkeypatch.setattr(deltas, "BROKEN", 0.01)
    monkeypatch.setattr(deltas, "log", structlog.get_logger())  # one that no other test has configured
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        reader = deltas.DeltaReader(away, prefix=PREFIX)
        with capture_logs() as lines, reader.listen("run", asyncio.Event()):
            await until(lambda: len(lines) >= 3)
            assert {line["event"] for line in lines} == {"deltas_not_read"}
        await reader.close()


async def test_events_flow_though_redis_is_away(submit, hands, key, settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    run = await submit()
    async with bootstrap.ingress(away) as parts:
        app = create_app(away, parts)
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://api", headers={"Authorization": f"Bearer {key}"}
            ) as client:
                reading = asyncio.create_task(client.get(run["urls"]["events"]))
                await hands.finish(run["id"])
                found = events((await reading).text)
                assert [frame["event"] for frame in found] == ["run.queued", "step.succeeded", "run.succeeded"]
                assert (await client.get("/readyz")).json()["checks"]["redis"] == "unreachable"
