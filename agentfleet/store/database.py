"""Connections. Hot statements run on raw psycopg (async, autocommit: one statement is one transaction); reads for the
API and everything else run on SQLAlchemy Core over the same driver.

Two roles of one login: the ingress is ``agentfleet_app``, which row-level security binds to one tenant per transaction;
everything behind it is ``agentfleet_fleet``.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agentfleet.store.statements import Statement

log = structlog.get_logger("agentfleet.store")

APP_ROLE = "agentfleet_app"
FLEET_ROLE = "agentfleet_fleet"

LOST_CONNECTION = (psycopg.OperationalError, psycopg.InterfaceError)
"""Errors after which the outcome of the statement is unknown: it may have been committed. Re-read by key."""

UNWRITABLE = (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError)
"""Errors that one row's data causes: NUL or half a surrogate pair in a text, a number too large."""

UNAVAILABLE = (
    *LOST_CONNECTION,
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
    psycopg.errors.ReadOnlySqlTransaction,
)
"""The database cannot serve this now, on either path: unreachable, no free connection, cut off, or failing over."""


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """How to connect. ``role`` is SET ROLE'd when given.

    ``statement_timeout``, and ``patience`` with a pool that has no free connection, are in seconds.
    """

    url: str
    role: str | None
    application_name: str
    pool_size: int = 4
    statement_timeout: float = 15.0
    patience: float = 10.0

    def options(self) -> str:
        settings = {
            "statement_timeout": f"{int(self.statement_timeout * 1000)}",
            "lock_timeout": f"{int(self.statement_timeout * 500)}",
            "idle_in_transaction_session_timeout": "60000",
            # One plan per statement, made once: planning the settle statement costs more than running it. The arrays
            # decide everything, so a plan that was made on an empty table must not remember that it was empty.
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
            "jit": "off",
        }
        if self.role is not None:
            settings["role"] = self.role
        return " ".join(f"-c {name}={value}" for name, value in settings.items())


def sqlalchemy_url(url: str) -> str:
    """The same database, through psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


class Pool(AsyncConnectionPool[psycopg.AsyncConnection[Any]]):
    """Looks at its idle connections when one turns out to be lost: after a restart of the server all of them are, and
    each would cost somebody a statement.
    """

    async def putconn(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Take a connection back."""
        lost = conn.closed and not self.closed
        await super().putconn(conn)
        if lost:
            await self.check()


class Database:
    """The pool of hot connections and the engine for everything else of one process. Open it on its own event loop."""

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self._pool = Pool(
            config.url,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 0,
                "options": config.options(),
                "application_name": config.application_name,
                "connect_timeout": 10,
                "cursor_factory": psycopg.AsyncRawCursor,
            },
            min_size=config.pool_size,
            max_size=config.pool_size,
            open=False,
            timeout=config.patience,
            check=None,
            reconnect_timeout=float("inf"),  # the database may be away for an hour; the process outlives that
        )
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(config.url),
            pool_size=config.pool_size,
            max_overflow=0,
            pool_timeout=config.patience,
            pool_pre_ping=True,
            connect_args={
                "options": config.options(),
                "application_name": config.application_name,
                "connect_timeout": 10,
            },
        )

    async def open(self) -> None:
        """Connect; raises ``psycopg.OperationalError`` or ``PoolTimeout`` when the database cannot be reached."""
        await self._pool.open(wait=True, timeout=30.0)

    async def close(self) -> None:
        await self._pool.close(timeout=5.0)
        await self.engine.dispose()

    async def fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one hot statement in its own transaction."""
        return await statement.failpoint.around(lambda: self._fetch(statement, params))

    async def fetch_as(self, tenant_id: str, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The same for a statement that returns rows, bound to what belongs to ``tenant_id``: in one round trip."""
        return await statement.failpoint.around(lambda: self._fetch_locked(None, statement, params, tenant_id))

    async def fetch_locked(
        self, lock: Statement, statement: Statement, params: Mapping[str, Any], *, tenant_id: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run ``lock``, then ``statement``, in one transaction and one round trip.

        A statement sees what was committed before it began, however long it then waits for a lock. Who has to see what
        the last holder wrote, such as the steps that a settle created, locks first.
        """
        return await statement.failpoint.around(lambda: self._fetch_locked(lock, statement, params, tenant_id))

    async def _fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement.sql, statement.values(params))
            return await cursor.fetchall() if cursor.description else []

    async def _fetch_locked(
        self, lock: Statement | None, statement: Statement, params: Mapping[str, Any], tenant_id: str | None
    ) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
            if tenant_id is not None:
                await connection.execute("SELECT set_config('agentfleet.tenant_id', $1, true)", (tenant_id,))
            if lock is not None:
                await connection.execute(lock.sql, lock.values(params))
            cursor = await connection.execute(statement.sql, statement.values(params))
            return await cursor.fetchall()

    @asynccontextmanager
    async def reading(self, tenant_id: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """A SQLAlchemy transaction, bound to ``tenant_id`` for row-level security when one is given."""
        async with self.engine.begin() as connection:
            if tenant_id is not None:
                await connection.execute(text("SELECT set_config('agentfleet.tenant_id', :t, true)"), {"t": tenant_id})
            yield connection
