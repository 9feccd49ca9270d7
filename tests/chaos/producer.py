"""A producer as ours have to be: it repeats a request, with its key, until it is answered."""

import asyncio
import json
from typing import Self
from uuid import uuid4

from agentfleet.agents.agent import Agent
from agentfleet.agents.bundle import bundle_of
from agentfleet.bootstrap import Ingress
from agentfleet.domain.plan import first_step
from agentfleet.store.database import UNAVAILABLE
from agentfleet.store.runs import NewRun
from tests.acceptance.fleet import TENANT, Fleet, until

CONTENT = json.dumps([{"type": "text", "text": "Go."}])


async def submit(ingress: Ingress, agent: Agent, count: int = 1) -> list[str]:
    """Submit runs whatever happens to the database; their ids. Every one of them was acknowledged."""
    return list(await asyncio.gather(*(_submit(ingress, agent) for _ in range(count))))


async def _submit(ingress: Ingress, agent: Agent) -> str:
    bundle, key, ids = bundle_of(agent), uuid4().hex, list[str]()

    async def accepted() -> bool:
        try:
            await ingress.bundles.save(bundle)
            run = NewRun(
                agent.name, bundle.id, agent.pool, '"Go."', CONTENT, first_step(agent.model),
                key=key, fingerprint=key.encode(),
            )  # fmt: skip
            ids.append((await ingress.submit(TENANT, run)).run_id)
        except UNAVAILABLE:
            return False
        return True

    await until(accepted, "a run is accepted")
    return ids[0]


class Stream:
    """Submits runs one after the other, in the background, until it has as many as it should. For ``async with``."""

    def __init__(self, fleet: Fleet, agent: Agent, count: int) -> None:
        self._fleet, self._agent, self._count = fleet, agent, count
        self.accepted: list[str] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        if error[0] is not None:
            self._task.cancel()
        await self._task

    @property
    def ended(self) -> bool:
        """Whether all are accepted."""
        return self._task.done()

    async def _run(self) -> None:
        while len(self.accepted) < self._count:
            self.accepted += await submit(self._fleet.ingress, self._agent, min(4, self._count - len(self.accepted)))
