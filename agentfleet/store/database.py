"""Connections. Hot statements run on raw psycopg (async, autocommit: one statement is one transaction); reads for the
API and everything else run on SQLAlchemy Core over the same driver.

Two roles of one login: the ingress is ``agentfleet_app``, which row-level security binds to one tenant per transaction;
everything behind it is ``agentfleet_fleet``.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from psycopg import errors
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agentfleet.store.connection import SERVER_KEEPALIVE, Connection
from agentfleet.store.session import SET_LOCAL, set_at_begin
from agentfleet.store.statements import Statement

log = structlog.get_logger("agentfleet.store")

APP_ROLE = "agentfleet_app"
FLEET_ROLE = "agentfleet_fleet"

LOST_CONNECTION = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)
"""The database is away, cut off, full, failing over, read-only or overloaded. Try again; when the statement may have
been committed (the connection was lost in it), re-read by key.
"""

UNWRITABLE = (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError, errors.ProgramLimitExceeded)
"""One row's data cannot be stored: NUL or half a surrogate pair in a text, a number or a key too large."""

STALLED = (errors.LockNotAvailable, errors.QueryCanceled, errors.OutOfMemory)
"""The server gave the statement up, and nothing of it happened: somebody holds one of its rows, or it was too much."""

UNDONE = (errors.DeadlockDetected, errors.SerializationFailure)
"""The server undid the statement for somebody else's sake. Hot statements are run again right here."""

UNAVAILABLE = (*LOST_CONNECTION, exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""``LOST_CONNECTION`` on either path: the database cannot serve this now."""

TRIES = 6
"""Of a statement that is undone: if a fifth of all are, one in 15,000 still fails."""
PAUSE = 0.02
"""Seconds, at most, before the second try; doubles. At random, so that two do not meet again."""
GRACE = 3.0
"""Seconds that an answer may be late when the server has cut the statement off."""
LOCK_TIMEOUT = 2.0
"""Longest wait for a row that somebody holds, in seconds: what shares the statement waits too."""
CHECK_WITHIN = 2.0
"""Seconds in which an idle connection must answer when another was lost."""
RECONNECT_FIRST, RECONNECT_LAST = 1.5, 3.0
"""Seconds after which a process begins anew to double the pause between tries to connect: drawn once, so that those who
lost the same server do not come back in step."""


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """How to connect. ``role`` is SET ROLE'd when given; ``direct_url`` leads past a pooler, to sessions of our own.

    ``statement_timeout``, and ``patience`` with a pool that has no free connection, are in seconds.
    """

    url: str
    role: str | None
    application_name: str
    pool_size: int = 4
    statement_timeout: float = 15.0
    patience: float = 5.0
    direct_url: str | None = None
    pooler_prepares: bool = False

    def arguments(self) -> dict[str, Any]:
        """For ``Connection.connect``."""
        return {
            "application_name": self.application_name,
            "session": {**self.session(), **SERVER_KEEPALIVE},
            "pooler_prepares": self.pooler_prepares,
            "limit": self.statement_timeout + GRACE,
        }

    def session(self) -> dict[str, str]:
        """What holds for every statement: set once where the session is ours, else in every transaction."""
        settings = {
            "statement_timeout": f"{int(self.statement_timeout * 1000)}",
            "lock_timeout": f"{int(min(LOCK_TIMEOUT, self.statement_timeout / 2) * 1000)}",
            "idle_in_transaction_session_timeout": "10000",
            # One plan per statement, made once: planning the settle statement costs more than running it. The arrays
            # decide everything, so a plan that was made on an empty table must not remember that it was empty.
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
            "jit": "off",
        }
        if self.role is not None:
            settings["role"] = self.role
        return settings


def sqlalchemy_url(url: str) -> str:
    """The same database, through psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


class Pool(AsyncConnectionPool[Connection]):
    """Looks at its idle connections when one turns out to be lost: after a restart of the server all of them are, and
    each would cost somebody a statement. Never stops trying to connect, about once a second.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looks: set[asyncio.Task[None]] = set()

    async def putconn(self, conn: Connection) -> None:
        """Take a connection back."""
        lost = conn.closed and not self.closed
        await super().putconn(conn)
        if lost:
            # Not in the caller's task: if that is cancelled, what was taken out to be looked at would never come back.
            look = asyncio.create_task(self.check())
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
            await asyncio.shield(look)

    @staticmethod
    async def check_connection(conn: Connection) -> None:
        """Whether it still works; a connection that does not answer soon is given up."""
        conn.limit, usual = CHECK_WITHIN, conn.limit
        try:
            await AsyncConnectionPool.check_connection(conn)
        finally:
            conn.limit = usual

    async def reconnect_failed(self) -> None:
        """Begin anew: psycopg's pause doubles without end, and after an hour's outage would last another hour."""
        await self.check()


class Database:
    """The pool of hot connections and the engine for everything else of one process. Open it on its own event loop."""

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self._pool = Pool(
            config.url,
            connection_class=Connection,
            kwargs={
                **config.arguments(),
                "autocommit": True,
                "prepare_threshold": 0,
                "cursor_factory": psycopg.AsyncRawCursor,
            },
            min_size=config.pool_size,
            max_size=config.pool_size,
            open=False,
            timeout=config.patience,
            check=None,
            reconnect_timeout=random.uniform(RECONNECT_FIRST, RECONNECT_LAST),
        )
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(config.url),
            pool_size=config.pool_size,
            max_overflow=0,
            pool_timeout=config.patience,
            pool_pre_ping=True,
            connect_args={**config.arguments(), "async_creator_fn": Connection.connect},
        )
        session = config.session()
        self._local = list(session), list(session.values())
        set_at_begin(self.engine.sync_engine, session)

    async def open(self) -> None:
        """Connect; raises ``psycopg.OperationalError`` or ``PoolTimeout`` when the database cannot be reached."""
        await self._pool.open(wait=True, timeout=30.0)

    async def close(self) -> None:
        await self._pool.close(timeout=5.0)
        await self.engine.dispose()

    async def fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one hot statement in its own transaction."""
        return await statement.failpoint.around(lambda: _insist(lambda: self._fetch(statement, params)))

    async def fetch_as(self, tenant_id: str, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The same for a statement that returns rows, bound to what belongs to ``tenant_id``: in one round trip."""
        return await self._in_one_trip(None, statement, params, tenant_id)

    async def fetch_locked(
        self, lock: Statement, statement: Statement, params: Mapping[str, Any], *, tenant_id: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run ``lock``, then ``statement``, in one transaction and one round trip.

        A statement sees what was committed before it began, however long it then waits for a lock. Who has to see what
        the last holder wrote, such as the steps that a settle created, locks first.
        """
        return await self._in_one_trip(lock, statement, params, tenant_id)

    async def _in_one_trip(
        self, lock: Statement | None, statement: Statement, params: Mapping[str, Any], tenant_id: str | None
    ) -> list[tuple[Any, ...]]:
        return await statement.failpoint.around(
            lambda: _insist(lambda: self._fetch_locked(lock, statement, params, tenant_id))
        )

    async def _fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            if connection.pooled:
                return await self._transact(connection, None, statement, params, None)
            cursor = await connection.execute(statement.sql, statement.values(params))
            return await cursor.fetchall() if cursor.description else []

    async def _fetch_locked(
        self, lock: Statement | None, statement: Statement, params: Mapping[str, Any], tenant_id: str | None
    ) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            return await self._transact(connection, lock, statement, params, tenant_id)

    async def _transact(
        self,
        connection: Connection,
        lock: Statement | None,
        statement: Statement,
        params: Mapping[str, Any],
        tenant_id: str | None,
    ) -> list[tuple[Any, ...]]:
        async with connection.pipeline():  # psycopg's own transaction() waits for each of its ends, and so do fetches
            await connection.execute("BEGIN", prepare=False)
            if connection.pooled:
                await connection.execute(SET_LOCAL, self._local)
            if tenant_id is not None:
                await connection.execute("SELECT set_config('agentfleet.tenant_id', $1, true)", (tenant_id,))
            if lock is not None:
                await connection.execute(lock.sql, lock.values(params))
            cursor = await connection.execute(statement.sql, statement.values(params))
            await connection.execute("COMMIT", prepare=False)
        return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def reading(self, tenant_id: str | None = None) -> AsyncGenerator[AsyncConnection]:
        """A SQLAlchemy transaction, bound to ``tenant_id`` for row-level security when one is given."""
        try:
            async with self.engine.begin() as connection:
                if tenant_id is not None:
                    await connection.execute(
                        text("SELECT set_config('agentfleet.tenant_id', :t, true)"), {"t": tenant_id}
                    )
                yield connection
        except exc.InternalError as error:
            raise error.orig or error from error  # the driver's class tells a read-only server from a broken one


async def _insist(work: Callable[[], Awaitable[list[tuple[Any, ...]]]]) -> list[tuple[Any, ...]]:
    """Do ``work``, a transaction of its own, again while it is undone."""
    for attempt in range(TRIES - 1):
        try:
            return await work()
        except UNDONE as error:
            log.info("statement_undone", attempt=attempt, sqlstate=error.sqlstate)
            await asyncio.sleep(random.uniform(0, PAUSE) * 2**attempt)
    return await work()
