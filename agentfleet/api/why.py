"""Why runs wait, for those who ask: one statement for all who ask at the same moment, and estimates that may be old."""

import asyncio
from collections.abc import Sequence
from typing import Final

from agentfleet.api.recent import Recent
from agentfleet.domain.states import RUN_FINAL, RunState
from agentfleet.domain.waiting import Foremost, Order, Pace, Waiting, WaitsFor, explain
from agentfleet.engine.batcher import Batcher
from agentfleet.store import waiting
from agentfleet.store.database import Database
from agentfleet.store.reads import Record

QUEUED: Final = (WaitsFor.QUEUE, WaitsFor.WORKER, "batch")
"""What depends on the pace of others."""


COUNTING: Final = 2
"""Positions that are counted at the same time: a big backlog is counted for a tenth of a second."""
PATIENCE: Final = 1.0
"""Seconds that a position may wait to be counted; then it is left out."""


class Explainer:
    """Says why runs wait, for one process. Belongs to one event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tenants: dict[str, Batcher[str, Foremost | None]] = {}
        self._counting = asyncio.Semaphore(COUNTING)
        self._positions = Recent[tuple[str, Order], int | None](self._count)
        self._paces = Recent[str, Pace](lambda pool: waiting.pace(db, pool))
        self._durations = Recent[str, dict[str, list[float]]](lambda tenant_id: waiting.durations(db, tenant_id))

    async def __call__(self, run: Record) -> Waiting | None:
        """Why ``run`` waits, with its position and what is expected; ``None``: it does not, or nothing is known."""
        if run.state in RUN_FINAL or (step := await self._foremost(run)) is None:
            return None
        short = explain(RunState(run.state), step)
        if short is None:
            return None
        position = None if step.order is None else await self._positions((step.step_id, step.order))
        pace = await self._paces(step.pool) if short.blocked_on in QUEUED else Pace()
        took = (await self._durations(run.tenant_id)).get(run.agent, [])
        return explain(
            RunState(run.state), step, started_at=run.started_at, position=position, pace=pace, durations=took
        )

    async def briefly(self, tenant_id: str, runs: Sequence[Record]) -> dict[str, Waiting | None]:
        """Why each of ``runs`` waits, by id, without position and without what is expected."""
        states = {str(run.id): RunState(run.state) for run in runs if run.state not in RUN_FINAL}
        if not states:
            return {}
        found = await waiting.foremost(self._db, tenant_id, list(states))
        return {run_id: explain(states[run_id], step) for run_id, step in found.items()}

    async def _count(self, asked: tuple[str, Order]) -> int | None:
        try:
            async with asyncio.timeout(PATIENCE), self._counting:
                return await waiting.position(self._db, *asked)
        except TimeoutError:
            return None

    async def _foremost(self, run: Record) -> Foremost | None:
        batch = self._tenants.get(run.tenant_id)
        if batch is None:
            batch = self._tenants[run.tenant_id] = Batcher(lambda ids: self._read(run.tenant_id, ids))
        return await batch(str(run.id))

    async def _read(self, tenant_id: str, run_ids: Sequence[str]) -> list[Foremost | None]:
        found = await waiting.foremost(self._db, tenant_id, run_ids)
        return [found.get(run_id) for run_id in run_ids]
