"""A worker that hears nothing ends, so that another takes its place; one that only waits is left alone."""

import httpx2
import pytest

from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until
from tests.chaos.link import Link

SHORT = 2
"""Seconds of patience with a worker that is broken for certain."""
MISSES = 6
"""Tries to reconnect that take twice that patience: see ``agentfleet.broker.connection``."""


class Nat(Link):
    """A network that can lose track of its connections."""

    def forget(self) -> None:
        """Those of now carry nothing ever again, and nobody is told; new ones work."""
        self._call(self._forget())

    async def _forget(self) -> None:
        for writer in self._writers:
            writer.transport.pause_reading()


@pytest.mark.parametrize("sabotage", ["deaf", "hung"])
async def test_a_worker_that_hears_nothing_hands_back_and_ends(fleet: Fleet, sabotage: str) -> None:
    worker = await fleet.worker(sabotage=sabotage, stuck_after=SHORT)
    held = await fleet.submit(agents.holder)
    await fleet.called("hold")
    await fleet.ground.kill_redis()
    fleet.ground.redis.revive()
    queued = await fleet.submit(agents.notes)
    assert await worker.wait() == 1
    assert len(worker.logs("consumer_stuck")) == 1
    second = await fleet.worker()  # as its supervisor does
    fleet.open()
    await fleet.finished([*held, *queued])
    assert fleet.outcomes(held, "hold") == [("hand_back", 0, str(worker.pid)), ("succeed", 1, str(second.pid))]


async def test_a_worker_that_waits_for_redis_is_left_alone(fleet: Fleet, unused_tcp_port: int) -> None:
    ours = await fleet.worker(stuck_after=SHORT, metrics_port=unused_tcp_port)
    kombus = await fleet.worker(stuck_after=SHORT, transport="redis")
    await fleet.ground.kill_redis()
    await until(lambda: min(len(one.logs_at("error")) for one in (ours, kombus)) >= MISSES, "both miss Redis for long")
    async with httpx2.AsyncClient(timeout=60) as client:
        assert (await client.get(f"http://127.0.0.1:{unused_tcp_port}/healthz")).status_code == 200
    fleet.ground.redis.revive()
    await fleet.finished(await fleet.submit(agents.notes, 20))
    for worker in (ours, kombus):
        assert await worker.end() == 0
        assert not worker.logs("consumer_stuck")


async def test_a_connection_that_is_dead_at_the_other_end_only_is_noticed(fleet: Fleet) -> None:
    with Nat(fleet.ground.redis_url) as link:
        worker = await fleet.worker(redis_url=link.url, stuck_after=6 * SHORT)
        await fleet.finished(await fleet.submit(agents.notes))
        link.forget()
        await fleet.finished(await fleet.submit(agents.notes))
        assert any("dropping stale connection" in line["event"] for line in worker.logs_at("warning"))
        assert not worker.logs("consumer_stuck")
        assert await worker.end() == 0
