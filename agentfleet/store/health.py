"""Whether the database is there, and new enough for this code."""

import asyncio

import structlog
from sqlalchemy import text

from agentfleet.domain.errors import Conflict
from agentfleet.store.database import UNAVAILABLE, Database
from agentfleet.store.migrate import needed, serves

log = structlog.get_logger("agentfleet.store")

CONNECTIONS = text("""
    SELECT (SELECT sum(numbackends) FROM pg_stat_database)::int,
           (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings
            WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))::int
""")
"""pg_stat_activity hides the kind of other users' connections. `reserved_connections` came with Postgres 16."""
TRIES = 20
PAUSE = 1.0
"""Seconds between two tries to ask a database that was just reached and is away again."""


async def revision(db: Database) -> str | None:
    """The database's schema revision, ``None`` when it was never migrated; raises one of ``UNAVAILABLE``."""
    async with db.reading() as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
            return None
        return await connection.scalar(text("SELECT version_num FROM alembic_version"))


async def connections(db: Database) -> tuple[int, int]:
    """Connections of everybody to the server, and how many those who are no superusers may have."""
    async with db.reading() as connection:
        row = (await connection.execute(CONNECTIONS)).one()
        return row[0], row[1]


async def require_schema(db: Database) -> None:
    """Raises ``Conflict`` when this code cannot work on the database's schema, one of ``UNAVAILABLE`` without one for
    too long.
    """
    problem = schema_problem(await _patiently(db))
    if problem is not None:
        raise Conflict(f"the database's schema {problem}")
    await db.engine.dispose()  # asked once: no connection is kept for it


async def _patiently(db: Database) -> str | None:
    for _ in range(TRIES):
        try:
            return await revision(db)
        except UNAVAILABLE as error:
            log.warning("database_unavailable", error=str(error)[:500])
            await asyncio.sleep(PAUSE)
    return await revision(db)


def schema_problem(found: str | None) -> str | None:
    """What is wrong with a database at ``found`` and what to do about it; ``None``: nothing."""
    if serves(found):
        return None
    return f"is at {found or 'nothing'}, this version needs {needed()}: run `agentfleet migrate`"
