"""Messages that are none, and steps that kill whoever takes them."""

import asyncio
import base64
import json
import pickle
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from redis.asyncio import Redis

from agentfleet.broker import names
from agentfleet.broker.envelope import envelope
from agentfleet.cli.main import main as command_line
from agentfleet.domain.model import Doorbell, StepKind
from agentfleet.domain.retry import POISON_AFTER as LIMITS
from agentfleet.store import api_keys
from agentfleet.store.ids import new_id
from tests.acceptance.fleet import TENANT, Fleet, Process, until
from tests.chaos import agents
from tests.chaos.figures import Figures

QUEUE = names.queue("agentfleet", "default")
POISON_AFTER = LIMITS[StepKind.TOOL]
SHORT = {"agents": "tests.chaos.agents", "lease": 1, "heartbeat": 0.3}
KEPT = "SELECT raw, error FROM dead_letters WHERE step_id IS NULL ORDER BY id"
KEPT_AT = "SELECT extract(epoch FROM created_at)::float8 FROM dead_letters WHERE step_id IS NULL ORDER BY id DESC"
MIB = 1 << 20


def forged() -> dict[str, Any]:
    """The message of a step that nobody knows."""
    return json.loads(envelope(Doorbell(new_id(), new_id(), "default", "chat", "reason", "chat", 0, 1, None), QUEUE))


def headers(**changes: object) -> bytes:
    message = forged()
    message["headers"] |= changes
    return json.dumps(message).encode()


def without(*path: str) -> bytes:
    message = inner = forged()
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(message).encode()


def replaced(**parts: object) -> bytes:
    return json.dumps(forged() | parts).encode()


def pickled() -> bytes:
    """As Celery sends it when it is told to: whoever reads it runs what it says."""
    body = base64.b64encode(pickle.dumps(([new_id()], {}, {}))).decode()
    return replaced(body=body, **{"content-type": "application/x-python-serialize", "content-encoding": "binary"})


POISON: dict[str, Callable[[], bytes]] = {
    "no text": lambda: b"\xff\x00 no text",
    "nothing": lambda: b"",
    "a pickle": lambda: pickle.dumps({"hello": "world"}),
    "half a message": lambda: headers()[:-40],
    "a bare number": lambda: b"42",
    "a list": lambda: b"[]",
    "null": lambda: b"null",
    "another object": lambda: b'{"hello": "world"}',
    "a deep nest": lambda: b"[" * 100_000 + b"]" * 100_000,
    "a huge text": lambda: b"x" * (4 * MIB),
    "a huge object": lambda: json.dumps({"hello": "w" * (4 * MIB)}).encode(),
    "no headers": lambda: without("headers"),
    "no properties": lambda: without("properties"),
    "no delivery tag": lambda: without("properties", "delivery_tag"),
    "no body": lambda: without("body"),
    "no task": lambda: without("headers", "task"),
    "a foreign task": lambda: headers(task="somebody.elses"),
    "a task that is no text": lambda: headers(task=["agentfleet.step"]),
    "no id": lambda: without("headers", "id"),
    "an id that is none": lambda: headers(id="1; DROP TABLE steps"),
    "an id of another type": lambda: headers(id={"hex": 7}),
    "a body that is no base64": lambda: replaced(body="!"),
    "headers that are none": lambda: replaced(headers="agentfleet.step"),
    "a pickle in a foreign envelope": lambda: json.dumps(
        json.loads(pickled()) | {"headers": {"task": "somebody.elses", "id": new_id()}}
    ).encode(),
}
"""What somebody else might push to our queue."""
HARMLESS: dict[str, Callable[[], bytes]] = {
    "a step that nobody knows": headers,
    "odd words for those who watch": lambda: headers(argsrepr=7, shadow=["x"], root_id=5),
    "a body of another step": lambda: replaced(body=base64.b64encode(b'[["x"],{},{}]').decode()),
}


def fuzzed(chance: random.Random) -> bytes:
    """A message of ours with some bytes changed, cut or doubled, so that it is none any more."""
    text = bytearray(headers())
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(text)), chance.randint(1, 60)
        text[at : at + length] = chance.choice([b"", chance.randbytes(length), bytes(text[at : at + length]) * 2])
    text[chance.randrange(20)] = 0xFF
    return bytes(text)


async def kept(fleet: Fleet, redis: Redis, message: bytes, count: int) -> float:
    """Push it, and wait until it is the ``count``-th that is kept: the seconds that it took."""
    pushed_at = time.time()
    await redis.lpush(QUEUE, message)  # pyright: ignore[reportGeneralTypeIssues]
    kept_at = await until(
        lambda: fleet.query(KEPT_AT)[count - 1 :] and fleet.query(KEPT_AT), f"{message[:200]!r} is kept"
    )
    return kept_at[0][0] - pushed_at


async def test_foreign_messages_are_kept_raw(fleet: Fleet, figures: Figures, many: Callable[[int, int], int]) -> None:
    worker = await fleet.worker(**SHORT)
    chance = random.Random(31)  # the same every time
    messages = [make() for make in POISON.values()] + [fuzzed(chance) for _ in range(many(10, 1_000))]
    async with Redis.from_url(fleet.ground.redis_url) as redis:
        for count, message in enumerate(messages, 1):
            figures.took(await kept(fleet, redis, message, count))
        for make in HARMLESS.values():
            await redis.lpush(QUEUE, make())  # pyright: ignore[reportGeneralTypeIssues]
        runs = await fleet.submit(agents.notes, 3)  # behind everything
        await fleet.finished(runs)
        assert await redis.llen(QUEUE) == 0  # pyright: ignore[reportGeneralTypeIssues]
    found = fleet.query(KEPT)
    assert len(found) == len(messages), "what harms nobody is not kept"
    for message, (raw, error) in zip(messages, found, strict=True):
        assert json.loads(error)["class"] == "unreadable_message"
        assert raw == message or same(message, raw), message[:200]
    assert not worker.logs_at("critical")
    figures.note("F31", n=len(messages), deaths=int(worker.code is not None))
    assert await worker.end() == 0


def same(message: bytes, raw: bytes) -> bool:
    """What can be read is kept as what was read: its headers, properties and body."""
    pushed, parts = json.loads(message), json.loads(raw)
    body = pushed["body"]
    if pushed["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body).decode("utf-8", "replace")
    return parts["headers"] == pushed["headers"] and parts["body"] == body


async def test_the_stock_transport_keeps_foreign_messages_too(fleet: Fleet) -> None:
    worker = await fleet.worker(**SHORT, transport="redis")
    messages = [POISON[what]() for what in ("a foreign task", "no task", "an id that is none")]
    async with Redis.from_url(fleet.ground.redis_url) as redis:
        for count, message in enumerate(messages, 1):
            await kept(fleet, redis, message, count)
    await fleet.finished(await fleet.submit(agents.notes, 3))
    assert await worker.end() == 0


async def outlived(fleet: Fleet, worker: Process, run_ids: list[str], state: str) -> list[Process]:
    """Replace every worker that dies until the runs are in ``state``; the dead."""
    dead: list[Process] = []
    while set(fleet.states(run_ids)) != {state}:
        if worker.code is not None:
            dead.append(worker)
            worker = await fleet.worker(**SHORT)
        await asyncio.sleep(0.03)
    return dead


async def test_a_step_that_kills_is_buried(fleet: Fleet, figures: Figures, many: Callable[[int, int], int]) -> None:
    worker = await fleet.worker(**SHORT)
    beside = await fleet.submit(agents.holder, 3)
    await fleet.called("hold", 3)
    deaths = 0
    rounds = many(1, 8)
    for _ in range(rounds):
        [poisoned] = await fleet.submit(agents.poisoner)
        more = await fleet.submit(agents.notes, 3)
        dead = await outlived(fleet, worker, [poisoned], "needs_review")
        worker = fleet.workers[-1]
        deaths = max(deaths, len(dead))
        assert {one.code for one in dead} == {-signal.SIGSEGV}
        await until(lambda more=more: set(fleet.states(more)) == {"succeeded"}, "what came with it has succeeded")
        [(letter, verdict)] = fleet.query("SELECT id, verdict FROM dead_letters WHERE run_id = %s", poisoned)
        assert verdict == "poison"
        assert fleet.query("SELECT name FROM steps WHERE run_id = %s AND state = 'dead'", poisoned) == [("segfault",)]
    await until(lambda: set(fleet.states(beside)) == {"running"}, "what ran beside it all the time is back")
    died_beside = fleet.query("SELECT max(crashes) FROM steps WHERE run_id = ANY(%s::uuid[])", beside)[0][0]
    assert died_beside >= POISON_AFTER - 1, "they were there when it killed, until it was tried apart"
    fleet.open()
    await fleet.finished(beside)
    figures.note("F32", n=rounds, deaths=deaths, lost=0)
    assert deaths == POISON_AFTER
    await told_with_the_evidence(fleet, str(letter), dead)


async def told_with_the_evidence(fleet: Fleet, letter_id: str, dead: list[Process]) -> None:
    """The dead letter names the dead workers, over HTTP and at the command line."""
    key = await api_keys.create(fleet.ingress.db, TENANT, "reviewer")
    ingress = await fleet.ground.start("workers.ingress", directory=fleet.directory, port=0).ready()
    fleet.workers.append(ingress)
    url = (ingress.announced or {})["url"]
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        letter = (await client.get(f"/v1/dead-letters/{letter_id}")).json()
        assert letter["error"]["verdict"] == letter["verdict"] == "poison"
        deaths = letter["error"]["detail"]["deaths"]
        assert [death["worker"].rpartition(":")[2] for death in deaths] == [str(one.pid) for one in dead]
        assert [death["fence"] for death in deaths] == [1, 2, 3]
        assert {death["attempt"] for death in deaths} == {1}
        times = [death[name] for death in deaths for name in ("claimed_at", "rescued_at")]
        assert times == sorted(times)
        steps = (await client.get(f"/v1/runs/{letter['run_id']}/steps", params={"attempts": "true"})).json()["data"]
        [step] = [step for step in steps if step["id"] == letter["step"]["id"]]
        assert step["crashes"] == POISON_AFTER
        assert [attempt["worker"] for attempt in step["attempts"]] == [death["worker"] for death in deaths]
    asked = ["dead-letters", "show", letter_id, "--url", url, "--api-key", key]
    shown = await asyncio.to_thread(CliRunner().invoke, command_line, asked)
    assert json.loads(shown.output)["error"] == letter["error"]


@pytest.mark.parametrize("transport", ["doorbell", "redis"])
async def test_the_crash_is_counted_on_the_step_and_not_on_its_message(fleet: Fleet, transport: str) -> None:
    """Celery counts redeliveries of a message; ours may come under any tag and as often as they like."""
    runs = await fleet.submit(agents.segfaulter)
    worker = await fleet.worker(**SHORT, transport=transport)
    await worker.wait()
    async with Redis.from_url(fleet.ground.redis_url) as redis:
        [(step_id,)] = fleet.query("SELECT id::text FROM steps WHERE name = 'segfault_once'")
        bell = Doorbell(step_id, runs[0], "default", "segfaulter", "tool", "segfault_once", 1, 1, None)
        await redis.lpush(QUEUE, *[envelope(bell, QUEUE) for _ in range(POISON_AFTER + 1)])  # pyright: ignore[reportGeneralTypeIssues]
    await fleet.worker(**SHORT, transport=transport)
    await fleet.finished(runs)
    assert fleet.query("SELECT crashes, fence FROM steps WHERE id = %s", step_id) == [(1, 2)]
