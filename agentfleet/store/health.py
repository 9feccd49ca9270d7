"""Whether the database is there, and new enough for this code."""

from sqlalchemy import text

from agentfleet.domain.errors import Conflict
from agentfleet.store.database import Database
from agentfleet.store.migrate import needed, serves


async def revision(db: Database) -> str | None:
    """The database's schema revision, ``None`` when it was never migrated; raises one of ``UNAVAILABLE``."""
    async with db.reading() as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
            return None
        return await connection.scalar(text("SELECT version_num FROM alembic_version"))


async def require_schema(db: Database) -> None:
    """Raises ``Conflict`` when this code cannot work on the database's schema, one of ``UNAVAILABLE`` without one."""
    problem = schema_problem(await revision(db))
    if problem is not None:
        raise Conflict(f"the database's schema {problem}")
    await db.engine.dispose()  # asked once: no connection is kept for it


def schema_problem(found: str | None) -> str | None:
    """What is wrong with a database at ``found`` and what to do about it; ``None``: nothing."""
    if serves(found):
        return None
    return f"is at {found or 'nothing'}, this version needs {needed()}: run `agentfleet migrate`"
