"""``python -m workers.ingress`` as a supervisor sees it: ready, asked, told to stop, gone with 0."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis

from agentfleet.broker import names
from tests.integration.api.waits import until_answer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def process(database_url, redis_url, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """An ingress on a free port; its log in ``log.txt``."""
    environment = {
        **os.environ, "AGENTFLEET_DATABASE_URL": database_url, "AGENTFLEET_REDIS_URL": redis_url,
        "AGENTFLEET_PORT": "0", "AGENTFLEET_DRAIN": "10", "AGENTFLEET_AGENTS": "tests.integration.api.served_agents",
    }  # fmt: skip
    with (tmp_path / "log.txt").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "workers.ingress"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        yield started
        started.kill()
        started.communicate()


@pytest.fixture
async def client(process, key) -> AsyncIterator[httpx2.AsyncClient]:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    async with httpx2.AsyncClient(
        base_url=json.loads(line)["url"], headers={"Authorization": f"Bearer {key}"}, timeout=30
    ) as found:
        yield found


async def test_a_submit_rings_the_doorbell(client, redis: Redis) -> None:
    response = await client.post("/v1/runs", json={"agent": "support", "input": "x"})
    assert response.status_code == 202
    queue = names.queue("agentfleet", "default")
    await until_answer(lambda: redis.exists(queue))
    [message] = await redis.lrange(queue, 0, -1)
    assert response.json()["id"].encode() in message


async def test_a_stop_answers_who_waits_and_ends_with_0(client, process, tmp_path: Path) -> None:
    run = (await client.post("/v1/runs", json={"agent": "support", "input": "x"})).json()
    waiting = asyncio.create_task(client.get(run["urls"]["self"], headers={"Prefer": "wait=30"}))
    async with client.stream("GET", run["urls"]["events"]) as stream:
        chunks = stream.aiter_bytes()
        assert b"retry" in await anext(chunks)
        assert (await client.get("/readyz")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert b"run.queued" in b"".join([chunk async for chunk in chunks])
    response = await waiting
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    assert await asyncio.to_thread(process.wait, 20) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert {"ready", "draining"} <= {line["event"] for line in lines}
    assert {line["process"] for line in lines} == {"ingress"}


async def test_bytes_that_are_no_request_are_answered_and_change_nothing(client) -> None:
    port = client.base_url.port
    for sent in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"A" * 70_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):  # a server that has not read all of it may also hang up
            await reader.read()
        writer.close()
    assert (await client.get("/healthz")).status_code == 200
