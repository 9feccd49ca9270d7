"""Durable intake over HTTP: POST /v1/runs, answered after the commit, one ingress process."""

import asyncio
import json
import time

import aiohttp
import psutil

from agentfleet import bootstrap
from agentfleet.settings import Settings
from agentfleet.store import api_keys, migrate
from agentfleet.store.database import APP_ROLE
from benchmarks.machine import Machine, processes

CONNECTIONS = 32
PORT_TRIES = 600


def intake(machine: Machine, *, requests: int) -> tuple[float, float]:
    """Submits per second and their p99 in milliseconds, over ``CONNECTIONS`` connections."""
    url = machine.fresh("bench_intake")
    migrate.upgrade(url)
    port = free_port()
    environment = {
        "AGENTFLEET_DATABASE_URL": url,
        "AGENTFLEET_REDIS_URL": machine.redis_url,
        "AGENTFLEET_LOG_LEVEL": "warning",
        "AGENTFLEET_AGENTS": "benchmarks.workload",
        "AGENTFLEET_PORT": str(port),
    }
    with processes([["workers.ingress"]], environment):
        return asyncio.run(
            _drive(Settings(database_url=url, redis_url=machine.redis_url), f"http://127.0.0.1:{port}", requests)
        )


async def _drive(settings: Settings, base: str, requests: int) -> tuple[float, float]:
    db = bootstrap.database(settings, APP_ROLE, "bench")
    await db.open()
    key = await api_keys.create(db, "bench", "bench")
    await db.close()
    body = json.dumps({"agent": "bench", "input": "go"}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS), headers=headers) as session:
        await ready(session, base)
        took = list[float]()

        async def client(count: int) -> None:
            for _ in range(count):
                start = time.perf_counter()
                async with session.post(f"{base}/v1/runs", data=body) as response:
                    await response.read()
                    if response.status != 202:
                        raise RuntimeError(f"POST /v1/runs answered {response.status}")
                took.append((time.perf_counter() - start) * 1000)

        await asyncio.gather(*(client(10) for _ in range(CONNECTIONS)))
        took.clear()
        start = time.perf_counter()
        await asyncio.gather(*(client(requests // CONNECTIONS) for _ in range(CONNECTIONS)))
        elapsed = time.perf_counter() - start
    took.sort()
    return len(took) / elapsed, took[int(len(took) * 0.99)]


async def ready(session: aiohttp.ClientSession, base: str) -> None:
    for _ in range(PORT_TRIES):
        try:
            async with session.get(f"{base}/readyz") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("the ingress did not become ready")


def free_port() -> int:
    taken = {connection.laddr.port for connection in psutil.net_connections("tcp") if connection.laddr}
    return next(port for port in range(18080, 19080) if port not in taken)
