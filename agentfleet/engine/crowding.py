"""Crowding: tell a human that a worker runs out of connections to the provider, and when it has room again."""

import asyncio
from contextvars import Context

import structlog

from agentfleet.domain.alerts import AlertKind
from agentfleet.store import alerts
from agentfleet.store.database import LOST_CONNECTION, Database

log = structlog.get_logger("agentfleet.alerts")


class Crowding:
    """The alert of one worker, ``name``; ``close`` it, and the alert ends with the worker."""

    def __init__(self, db: Database, name: str) -> None:
        self._db, self._name = db, name
        self._wanted = self._told = False
        self._numbers = dict[str, int]()
        self._telling: asyncio.Task[None] | None = None

    def __call__(self, nearly_full: bool, busy: int, limit: int) -> None:  # noqa: FBT001  # a callback's positions
        """The worker has crossed the line, in the middle of a model call: it does not wait for the telling."""
        self._wanted, self._numbers = nearly_full, {"busy": busy, "limit": limit}
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), context=Context())  # not of the run that is called for

    async def close(self) -> None:
        """Wait until it is told; an open alert ends."""
        self._wanted = False
        if self._telling is not None:
            await self._telling
        await self._tell()

    async def _tell(self) -> None:
        while self._told is not self._wanted:
            wanted = self._wanted
            try:
                await (self._open() if wanted else alerts.resolve(self._db, AlertKind.CONNECTIONS_80, self._name))
            except LOST_CONNECTION as lost:
                log.warning("alert_not_raised", kind=AlertKind.CONNECTIONS_80, subject=self._name, error=str(lost))
                return
            self._told = wanted

    async def _open(self) -> bool:
        message = (
            f"The worker {self._name} has {self._numbers['busy']} of its {self._numbers['limit']} connections to the"
            " provider in use: with none left its steps go back and wait. Add workers, or raise"
            " AGENTFLEET_PROVIDER_POOL_SIZE and its limit of open files."
        )
        return await alerts.raise_alert(self._db, AlertKind.CONNECTIONS_80, self._name, message, self._numbers)
