"""Time that stands still until a test moves it, and processes whose every step towards the world the test may hold up.

A ``Line`` is one process's connection to Postgres: any of its statements can be held just before it is sent or just
after it was committed, or be cut off there. The scripted model, the tools and the broker pass the same kind of point.
Nothing moves unless the test lets it, so what a sequence of commands does is the same every time.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

from agentfleet.store.database import Database
from agentfleet.store.statements import Statement

FROZEN = """
CREATE TABLE frozen_clock (at timestamptz NOT NULL);
INSERT INTO frozen_clock VALUES (now());
GRANT SELECT ON frozen_clock TO agentfleet_app, agentfleet_fleet;
CREATE OR REPLACE FUNCTION agentfleet_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS 'SELECT at FROM frozen_clock';
"""
PASSES = 40
"""Turns of the event loop in which nothing happened, after which nothing will."""

Mishap = Literal["hold", "cut"]
Saw = Callable[["Line", Statement, Mapping[str, Any], list[tuple[Any, ...]]], None]


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        super().__init__()

    def time(self) -> float:
        return self.now


@dataclass
class Traffic:
    """What is on its way to Postgres, what is held up, and who is told of every answer."""

    saw: Saw
    under_way: int = 0
    held: list["Held"] = field(default_factory=list["Held"])
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def quiet(self) -> None:
        """Wait until nothing moves any more: everything has ended, is held up, or waits for its time."""
        idle = 0
        while idle < PASSES:
            await asyncio.sleep(0)
            idle += 1
            if self.under_way:
                self.moved.clear()
                await self.moved.wait()
                idle = 0


@dataclass(eq=False)
class Held:
    """Somebody of ``line`` who is held up at ``point``."""

    line: "Line"
    point: str
    waits: asyncio.Future[None]

    def go(self) -> None:
        if not self.waits.done():
            self.waits.set_result(None)

    def cut(self) -> None:
        """Let it go on without a connection; a model or tool call, which needs none, just goes on."""
        if not self.waits.done() and self.point.endswith((".before", ".after")):
            self.waits.set_exception(psycopg.OperationalError(f"cut off at {self.point}"))
        self.go()


class Line:
    """One process's way to the world; a ``Database`` to the store's functions. ``mishaps``: point to what happens."""

    def __init__(self, name: str, db: Database, traffic: Traffic) -> None:
        self.name, self._db, self._traffic = name, db, traffic
        self.mishaps: dict[str, Mishap] = {}
        self.dead = False

    async def fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._carry(statement, params, lambda: self._db.fetch(statement, params))

    async def fetch_as(self, tenant_id: str, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._carry(statement, params, lambda: self._db.fetch_as(tenant_id, statement, params))

    async def fetch_locked(
        self, lock: Statement, statement: Statement, params: Mapping[str, Any], *, tenant_id: str | None = None
    ) -> list[tuple[Any, ...]]:
        return await self._carry(
            statement, params, lambda: self._db.fetch_locked(lock, statement, params, tenant_id=tenant_id)
        )

    @asynccontextmanager
    async def reading(self, tenant_id: str | None = None) -> AsyncGenerator[AsyncConnection]:
        with self._under_way():
            async with self._db.reading(tenant_id) as connection:
                yield connection

    async def point(self, name: str) -> None:
        """Pass a point: at once, later, or never."""
        if self.dead:
            raise asyncio.CancelledError
        mishap = self.mishaps.pop(name, None)
        if mishap is None:
            return
        held = Held(self, name, asyncio.get_running_loop().create_future())
        if mishap == "cut":
            held.cut()
        self._traffic.held.append(held)
        try:
            await held.waits
        finally:
            self._traffic.held.remove(held)

    def die(self) -> None:
        """SIGKILL: nothing of this process happens any more."""
        self.dead = True
        for held in [one for one in self._traffic.held if one.line is self]:
            held.waits.cancel()

    async def _carry(
        self,
        statement: Statement,
        params: Mapping[str, Any],
        work: Callable[[], Awaitable[list[tuple[Any, ...]]]],
    ) -> list[tuple[Any, ...]]:
        await self.point(f"{statement.failpoint.name}.before")
        with self._under_way():
            rows = await work()
            self._traffic.saw(self, statement, params, rows)
        await self.point(f"{statement.failpoint.name}.after")
        return rows

    def _under_way(self) -> "_UnderWay":
        return _UnderWay(self._traffic)


class _UnderWay:
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def __enter__(self) -> None:
        self._traffic.under_way += 1

    def __exit__(self, *_: object) -> None:
        self._traffic.under_way -= 1
        self._traffic.moved.set()
