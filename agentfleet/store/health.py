"""Whether the database is there, and new enough for this code."""

from functools import lru_cache

from alembic.script import ScriptDirectory
from sqlalchemy import text

from agentfleet.store.database import Database
from agentfleet.store.migrate import alembic_config


@lru_cache(maxsize=1)
def revisions() -> tuple[str, ...]:
    """The schema revisions that this code knows, the newest first. Reads the migration files: some milliseconds."""
    return tuple(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


async def revision(db: Database) -> str | None:
    """The database's schema revision, ``None`` when it was never migrated; raises one of ``UNAVAILABLE``."""
    async with db.reading() as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
            return None
        return await connection.scalar(text("SELECT version_num FROM alembic_version"))


def serves(found: str | None) -> bool:
    """Whether this code can work on a database at ``found``. A revision that it does not know is newer: a deploy
    migrates first, and the old processes go on until they are replaced.
    """
    return found is not None and (found == revisions()[0] or found not in revisions())
