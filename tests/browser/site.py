"""A fleet with its two faces, the ingress and Flower, as a browser sees it."""

import socket
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.fleet import FLOWER_LOGIN, Ground, Process, until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """One worker, an ingress and a key on the ``ground``; ``directory`` is where its tools and a test meet."""

    def __init__(self, ground: Ground, directory: Path, key: str) -> None:
        self.ground, self.directory, self.key = ground, directory, key
        self.worker = ground.start("workers.steps", "--task-events", directory=directory)
        self._ingress = ground.start("workers.ingress", directory=directory, port=0)
        self.worker_name = self.url = ""
        self.flower_port = free_port()
        self.flower_url = f"http://127.0.0.1:{self.flower_port}/flower"

    async def ready(self) -> "Site":
        """Wait until all of it serves, and Flower knows the worker."""
        self.worker_name = ((await self.worker.ready()).announced or {})["ready"]
        self.url = ((await self._ingress.ready()).announced or {})["url"]
        self.flower = self.start_flower()
        await until(
            lambda: self.worker_name in (self.flower_says("workers?refresh=1") or {}), "Flower knows the worker"
        )
        return self

    def start_flower(self) -> Process:
        """Flower behind a prefix, with a history; it may not listen yet."""
        return self.ground.start(
            "workers.flower",
            "--address=127.0.0.1",
            f"--port={self.flower_port}",
            "--url-prefix=flower",
            f"--db={self.directory / 'flower'}",
            directory=self.directory,
            public_url=self.url,
        )

    def flower_says(self, path: str) -> Any:
        """What Flower's API answers; ``None`` while it cannot be reached."""
        assert self.flower.code is None, self.flower.printed[-20:]
        try:
            answer = httpx2.get(f"{self.flower_url}/api/{path}", auth=FLOWER_LOGIN, timeout=10)
        except httpx2.TransportError:
            return None
        return answer.raise_for_status().json()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """What the ingress answers."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.request(method, f"{self.url}/v1/{path}", headers=headers, **options).raise_for_status().json()

    def submit(self, agent: str) -> str:
        """Submit a run; its id."""
        return self.ask("POST", "runs", json={"agent": agent, "input": "Go."})["id"]

    async def finished(self, run_id: str, status: str = "succeeded") -> None:
        """Wait until the run is so."""
        await until(lambda: self.ask("GET", f"runs/{run_id}")["status"] == status, f"the run has {status}")

    async def worked(self) -> dict[str, Any]:
        """Flower's tasks, among them those of a run that has ended."""
        run_id = self.submit("notes")
        await self.finished(run_id)

        def told() -> bool:
            tasks = [task for task in (self.flower_says("tasks") or {}).values() if run_id in task["args"]]
            return len(tasks) == 4 and all(task["state"] == "SUCCESS" for task in tasks)

        await until(told, f"Flower has heard of all steps of {run_id}")
        return self.flower_says("tasks")

    def open(self) -> None:
        """Let the tools go on that hold runs of the agent ``holder``."""
        (self.directory / "open").touch()
