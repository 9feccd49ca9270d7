"""Races on purpose: hold a row, start what shall race, wait until it stands in the queue, let go."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Self

import psycopg

from agentfleet.store.database import Database
from agentfleet.store.statements import Statement
from tests.scripted import until

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def blocked(database_url: str, count: int) -> None:
    """Wait until ``count`` statements wait for a lock."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def standing() -> bool:
            cursor = await connection.execute(BLOCKED)
            return await cursor.fetchone() == (count,)

        await until(standing, f"{count} statements wait for a lock")


class Uncommitted:
    """A database whose hot statements stay in one transaction until ``commit``: another process, half done."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: psycopg.AsyncConnection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await psycopg.AsyncConnection.connect(self._url, cursor_factory=psycopg.AsyncRawCursor)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def fetch(self, statement: Statement, params: dict[str, object]) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(statement.sql, statement.values(params))
        return await cursor.fetchall() if cursor.description else []

    async def fetch_locked(
        self, lock: Statement, statement: Statement, params: dict[str, object], **_: object
    ) -> list[tuple[Any, ...]]:
        await self.fetch(lock, params)
        return await self.fetch(statement, params)

    async def commit(self) -> None:
        await self._connection.commit()


async def overtaken(database_url: str, first: "Uncommitted", late: Awaitable) -> object:
    """Start ``late``, which has to wait for ``first``; commit ``first``; what ``late`` made of it."""
    racing = asyncio.ensure_future(late)
    await blocked(database_url, 1)
    await first.commit()
    return await racing


def as_database(uncommitted: Uncommitted) -> Database:
    """For the store's functions, which need no more of it than to fetch."""
    return uncommitted  # pyright: ignore[reportReturnType]
