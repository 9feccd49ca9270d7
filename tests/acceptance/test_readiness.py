"""A worker is ready when it takes steps, and no longer when it drains."""

import asyncio
import signal

import httpx2

from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until


async def test_a_worker_is_ready_when_it_takes_steps_and_not_when_it_drains(fleet: Fleet, unused_tcp_port: int) -> None:
    worker = fleet.start(metrics_port=unused_tcp_port)

    def ask() -> str | None:
        try:
            answer = httpx2.get(f"http://127.0.0.1:{unused_tcp_port}/readyz", timeout=5)
        except httpx2.TransportError:
            return None
        assert (answer.status_code == 200) == (answer.text == "ok\n"), answer.text
        return answer.text.strip()

    async def says(expected: str) -> bool:
        before, said = worker.announced, await asyncio.to_thread(ask)
        if said in {None, "starting"}:
            assert not before, "it has announced that it takes steps"
        return said == expected

    await until(lambda: says("ok"), "it is ready")
    await fleet.submit(agents.holder)
    await fleet.called("hold")
    worker.send(signal.SIGTERM)
    await until(lambda: says("draining"), "it says that it drains")
    fleet.open()
    assert await worker.wait() == 0
