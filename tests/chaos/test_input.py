"""What comes in from outside: too large, or hostile. It costs constant space, and never breaks the ingress."""

import asyncio
import itertools
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from redis.asyncio import Redis

from agentfleet.agents.toolbox import MAX_RESULT_BYTES
from agentfleet.store import api_keys
from tests.acceptance.fleet import TENANT, Fleet, Process, until
from tests.chaos import hostile
from tests.chaos.figures import Figures, nightly

MIB = 1 << 20
SIZES = (2 * MIB, (50 if nightly() else 10) * MIB)
PIECE = b"x" * 65_536
QUEUE, AGENTS = "agentfleet.steps.default", "tests.chaos.sweep.agents"
SEED, SENDERS = 11, 8


def most_memory(process: Process) -> float:
    """The most that a process has ever held, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def ingress(fleet: Fleet, **settings: Any) -> tuple[Process, str, str]:
    """A process of the HTTP API, its URL and a key."""
    process = fleet.ground.start("workers.ingress", directory=fleet.directory, **{"port": 0, "max_wait": 0, **settings})
    fleet.workers.append(process)
    key = await api_keys.create(fleet.ingress.db, TENANT, "input")
    await process.ready()
    return process, (process.announced or {})["url"], key


def oversize(size: int, how: str) -> Iterator[bytes]:
    """The rest of a request whose body has ``size`` bytes; its length is declared, unknown, or told too small."""
    if how == "chunked":
        yield b"Transfer-Encoding: chunked\r\n\r\n"
        for _ in range(size // len(PIECE)):
            yield b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
        yield b"0\r\n\r\n"
        return
    yield b"Content-Length: %d\r\n\r\n" % (size if how == "declared" else 100)
    for _ in range(size // len(PIECE)):
        yield PIECE


def status_of(url: str, key: str, size: int, how: str) -> int:
    """The status of the first answer to such a request; sends on until the server closes or everything is sent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        answer = b""
        try:
            connection.sendall(head.encode())
            for piece in oversize(size, how):
                connection.sendall(piece)
                connection.setblocking(False)
                try:
                    answer += connection.recv(65_536)
                except BlockingIOError:
                    pass
                finally:
                    connection.settimeout(60)
                if b"\r\n\r\n" in answer:
                    break
            while b"\r\n\r\n" not in answer and (more := connection.recv(65_536)):
                answer += more
        except ConnectionError:
            pass  # it has hung up on what is too long; what it said before counts
    return int(answer.split()[1]) if answer else 0


async def test_oversize_is_refused_in_constant_space(fleet: Fleet, figures: Figures) -> None:
    process, url, key = await ingress(fleet, agents=AGENTS)
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as client,
        Redis.from_url(fleet.ground.redis_url) as redis,
    ):
        accepted = await client.post(f"{url}/v1/runs", json={"agent": "dumper", "input": "x" * 200_000})
        before = most_memory(process)
        for size, how in itertools.product(SIZES, ("declared", "chunked", "lying")):
            status = await asyncio.to_thread(status_of, url, key, size, how)
            assert status in ((0, 400, 422) if how == "lying" else (413,)), (size, how, status)  # 0: it hung up
        grown = most_memory(process) - before
        run = (await client.get(f"{url}{accepted.headers['location']}")).json()["id"]

        async def sent() -> list[int]:
            return [len(message) for message in await redis.lrange(QUEUE, 0, -1)]  # pyright: ignore[reportGeneralTypeIssues]

        sizes = await until(sent, "the run with the large input is sent")
        armed = await fleet.worker(agents=AGENTS, lease=8, heartbeat=2, failpoint="publish.after:kill@2")
        await armed.wait()  # in the moment in which the step that follows both results is sent
        sizes += await until(sent, "it is there")
    worker = await fleet.worker(agents=AGENTS, lease=8, heartbeat=2)
    await fleet.finished([run])
    [(longest,)] = fleet.query("SELECT max(octet_length(content)) FROM messages")
    assert longest < 3 * MAX_RESULT_BYTES, "two results and little else"
    kib, mib = max(sizes) / 1024, most_memory(worker)
    figures.note(
        "F33", n=3 * len(SIZES), message_kib=round(kib, 2), growth_mib=round(grown, 1), worker_mib=round(mib, 1)
    )


async def test_no_body_breaks_the_ingress(fleet: Fleet, figures: Figures, many) -> None:
    process, url, key = await ingress(fleet, log_level="error")
    count = many(1_500, 100_000)
    left = itertools.islice(hostile.requests(SEED, key), count)
    wrong, statuses = list[tuple[str, bytes]](), dict[int, int]()

    async def sender() -> None:
        for request in left:
            answer = await hostile.send(url, request)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            if problem := hostile.complaint(request, answer):
                wrong.append((problem, request.raw[:600]))

    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    assert wrong == []
    assert {202, 400, 401, 404, 405, 422} <= statuses.keys(), "they reach everything"
    assert process.code is None, "the ingress stays up"
    errors = sum(number for status, number in statuses.items() if status >= 500)
    assert errors == 0
    assert not process.logs("request_failed")
    figures.note("F34", n=count, errors=errors, **{f"answered_{status}": n for status, n in sorted(statuses.items())})
