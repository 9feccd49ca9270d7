"""Celery's own tools keep working: inspect, revoke, Flower, the stock transport. And what one worker can hold."""

import asyncio
import socket
from typing import Any

import httpx2
from kombu import pools
from redis.asyncio import Redis

from agentfleet.broker.app import make_app
from agentfleet.settings import Settings
from tests.acceptance import agents
from tests.acceptance.fleet import FLOWER_LOGIN, Fleet, Ground, until

CROWD = 2_000


class Flower:
    """A Flower, and what its HTTP API says."""

    def __init__(self, ground: Ground) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = ground.start("workers.flower", "--address=127.0.0.1", f"--port={self.port}")

    def _get(self, path: str) -> dict[str, Any]:
        try:
            answer = httpx2.get(f"http://127.0.0.1:{self.port}/api/{path}", auth=FLOWER_LOGIN, timeout=10)
        except httpx2.TransportError:
            return {}
        return answer.raise_for_status().json()

    async def get(self, path: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._get, path)


async def ask(fleet: Fleet, command: str, **arguments: Any) -> list[Any]:
    """Send a remote control command, as an operator's shell does; the answer of one worker in a list, or nothing."""

    def send() -> list[dict[str, Any]]:
        pools.reset()  # connections to a Redis of the past
        with make_app(Settings(redis_url=fleet.ground.redis_url)) as app:
            return app.control.broadcast(command, arguments, reply=True, timeout=5, limit=1) or []

    return [reply for answered in await asyncio.to_thread(send) for reply in answered.values()]


async def test_inspect_and_flower_show_a_step_and_revoke_cancels_its_run(fleet: Fleet) -> None:
    flower, worker = Flower(fleet.ground), await fleet.worker()
    name = (worker.announced or {})["ready"]

    async def seen() -> bool:
        return name in await flower.get("workers?refresh=1")

    async def task(state: str) -> dict[str, Any]:
        return next((one for one in (await flower.get("tasks")).values() if one["state"] == state), {})

    async def idle() -> bool:
        return await ask(fleet, "active") == [[]]

    await until(seen, "Flower knows the worker")
    await ask(fleet, "enable_events")  # as Flower does itself, after a while
    [run] = await fleet.submit(agents.holder)
    await fleet.called("hold")
    [[active]] = await ask(fleet, "active")
    assert (active["name"], active["type"]) == ("holder:tool", "agentfleet.step")
    assert active["args"] == f"run={run} step=1 hold attempt=1"
    assert fleet.query("SELECT run_id::text, name FROM steps WHERE id = %s", active["id"]) == [(run, "hold")]
    shown = await until(lambda: task("STARTED"), "Flower shows the running step")
    assert (shown["uuid"], shown["name"], shown["args"]) == (active["id"], "holder:tool", active["args"])
    assert (await task("SUCCESS"))["name"] == "holder:reason"
    await ask(fleet, "revoke", task_id=active["id"], terminate=True)
    await fleet.finished([run], "cancelled")
    await until(idle, "the worker has let go of it")
    assert (await until(lambda: task("REVOKED"), "Flower shows that it was stopped"))["uuid"] == active["id"]
    assert flower.process.lines, "it logs as the others do"


async def test_the_window_of_a_worker_survives_reconnects(fleet: Fleet) -> None:
    worker = await fleet.worker(worker_capacity=4)
    runs = await fleet.submit(agents.holder, 4)
    await fleet.called("hold", 4)
    async with Redis.from_url(fleet.ground.redis_url) as client:
        await client.client_kill_filter(_type="normal", skipme=True)
    assert [len(found) for found in await ask(fleet, "active")] == [4], "cut connections are made again"
    for _ in range(2):
        misses = len(worker.logs_at("error"))
        await fleet.ground.kill_redis()
        await until(lambda misses=misses: len(worker.logs_at("error")) > misses, "the worker misses Redis")
        fleet.ground.redis.revive()
        await until(lambda: ask(fleet, "ping"), "the worker listens again")
    [stats] = await ask(fleet, "stats")
    assert stats["prefetch_count"] == 1
    runs += await fleet.submit(agents.notes, 10)
    fleet.open()
    await fleet.finished(runs)
    [stats] = await ask(fleet, "stats")
    assert stats["prefetch_count"] >= 4
    assert await ask(fleet, "active") == [[]]
    assert worker.code is None


async def test_the_stock_transport_runs_and_drains_and_hands_back(fleet: Fleet) -> None:
    first = await fleet.worker(transport="redis", drain=0.1)
    runs = await fleet.submit(agents.notes, 5)
    await fleet.finished(runs)
    held = await fleet.submit(agents.holder)
    await fleet.called("hold")
    assert await first.end() == 0
    second = await fleet.worker(transport="redis")
    fleet.open()
    await fleet.finished(held)
    assert fleet.outcomes(held, "hold") == [("hand_back", 0, str(first.pid)), ("succeed", 1, str(second.pid))]


async def test_one_worker_holds_two_thousand_sleeping_steps(fleet: Fleet) -> None:
    worker = await fleet.worker(
        provider="benchmarks.workload:make_model",
        worker_capacity=CROWD,
        warm_up=0,  # the claim is how many it holds, not how gently it gets there
        lease=30,
        heartbeat=10,
        pool_size=4,
    )
    runs = await fleet.submit(agents.crowd, CROWD)

    def asleep() -> int:
        return fleet.query("SELECT count(*) FROM steps WHERE state = 'running' AND kind = 'tool'")[0][0]

    await until(lambda: asleep() == CROWD, "all of them sleep at once")
    fleet.open()
    await fleet.finished(runs)
    assert {attempt for _, attempt, _ in fleet.outcomes(runs, "work")} == {1}
    assert await worker.end() == 0
