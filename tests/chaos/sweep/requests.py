"""The scenes of the ingress: a client that asks again, with the same key, until somebody answers."""

from typing import Any

import httpx2

from agentfleet.store import api_keys
from tests.acceptance.fleet import TENANT, Process, until
from tests.chaos.sweep.plan import UNSAFE
from tests.chaos.sweep.scenes import DONE, REVIEW, TOOL, Scene

PATIENCE = 4.0
"""Seconds after which the client takes an ingress for dead."""
OURS = {"agent": "sweep", "input": "Go."}


class Asking(Scene):
    """A scene whose client asks the ingress that will break, and another one when it has."""

    key = ""
    spare: Process | None = None

    async def ready(self, *others: str) -> None:
        """Start the ingress that will break, and everybody else."""
        self.key = await api_keys.create(self.stage.parts.db, TENANT, "sweep")
        self.others(*others)
        await self.arm().ready()

    async def ask(self, process: Process, method: str, path: str, **more: Any) -> dict[str, Any]:
        """The document that answers this request, whoever gives it."""
        return (await self.answer(process, method, path, **more)).json()

    async def answer(self, process: Process, method: str, path: str, **more: Any) -> httpx2.Response:
        """The whole answer."""
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False) as client:
            while True:
                try:
                    url = f"{(process.announced or {})['url']}{path}"
                    response = await client.request(method, url, **more)
                except httpx2.TransportError:
                    process = self.spare = self.spare or await self.stage.start("ingress").ready()
                    continue
                if response.status_code < 500:
                    assert response.status_code in (200, 202), response.text
                    return response
                assert response.status_code == 503, response.text
                assert response.headers["content-type"] == "application/problem+json"

    async def again(self) -> str:
        """One run more, through the ingress that broke."""
        accepted = await self.ask(self.armed, "POST", "/v1/runs", json=OURS, headers={"Idempotency-Key": "again"})
        self.stage.runs.append(accepted["id"])
        return accepted["id"]

    async def post(self) -> str:
        """Submit a run."""
        await self.ready("steps", "dispatcher", "reconciler")
        self.run = await self._submitted()
        await self.broken()
        return DONE

    async def repeat(self) -> str:
        """Submit a run for the second time."""
        await self.ready("steps", "dispatcher", "reconciler")
        self.spare = await self.stage.start("ingress").ready()
        answer = await self.ask(self.spare, "POST", "/v1/runs", json=OURS, headers={"Idempotency-Key": "once"})
        self.run = await self._submitted()
        assert answer["id"] == self.run
        await self.broken()
        return DONE

    async def _submitted(self) -> str:
        answer = await self.ask(self.armed, "POST", "/v1/runs", json=OURS, headers={"Idempotency-Key": "once"})
        assert len(await self.stage.rows("SELECT FROM runs")) == 1, "one key is one run"
        self.stage.runs.append(answer["id"])
        return answer["id"]

    async def _held(self, tool: str) -> None:
        """A run that is calling this tool."""
        self.stage.file(f"hold-{tool}").touch()
        await self.ready("steps", "dispatcher", "reconciler")
        self.run = await self.stage.submit()
        await until(lambda: self.stage.calls(tool, self.run), f"{tool} is called")

    async def watch(self) -> str:
        """Wait for a run."""
        await self._held("note")
        await self.ask(self.armed, "GET", f"/v1/runs/{self.run}", headers={"Prefer": "wait=1"})
        await self.broken()
        self.stage.file("hold-note").unlink()
        return DONE

    async def events(self) -> str:
        """Follow a run that has ended."""
        await self.ready("steps", "dispatcher", "reconciler")
        self.run = await self.stage.submit()
        await self.stage.ended(self.run, DONE)
        path = f"/v1/runs/{self.run}/events"
        answer = await self.answer(self.armed, "GET", path)
        await self.broken()
        if self.case.action == "raise":  # the stream ends where it broke, and a client comes back
            assert "run.succeeded" not in answer.text
            answer = await self.answer(self.armed, "GET", path)
        assert "run.succeeded" in answer.text
        return DONE

    async def cancel(self) -> str:
        """Cancel a run while a tool is called."""
        tool = TOOL[self.case.step]
        await self._held(tool)
        await self.ask(self.armed, "POST", f"/v1/runs/{self.run}/cancel")
        await self.broken()
        self.stage.file(f"hold-{tool}").unlink()
        return "cancelled"

    async def replay(self) -> str:
        """Replay an unsafe step that was cut off before anything happened."""
        await self.lost_in(UNSAFE)
        await self.ready("steps", "dispatcher", "reconciler")
        await self.stage.ended(self.run, REVIEW)
        [(letter,)] = await self.stage.rows("SELECT id::text FROM dead_letters")
        await self.ask(self.armed, "POST", f"/v1/dead-letters/{letter}/replay")
        await self.broken()
        return DONE
