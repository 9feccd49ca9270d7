"""Bring a database to the schema that this code needs, and say how far it is.

A migration's file name says when it runs: ``pre`` before the code that needs it, ``post`` when the last process of the
code that needed the old shape is gone. So this code needs the newest ``pre``, and whatever comes after it can wait.
"""

import time
from functools import lru_cache
from importlib import resources
from pathlib import Path

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, exc, pool

from agentfleet.domain.errors import Conflict
from agentfleet.store.database import sqlalchemy_url
from agentfleet.store.pooler import require_sessions

log = structlog.get_logger("agentfleet.migrate")

TRIES = 120
"""How often a migration asks for its locks; env.py says how long it waits each time."""
PAUSE = 1.0
"""Seconds between two tries, in which the statements that queued up behind it go on."""


def migrations_directory() -> Path:
    """Where the migrations are: inside an installed wheel, or beside the package in a checkout."""
    packaged = Path(str(resources.files("agentfleet").joinpath("_migrations")))
    return packaged if packaged.is_dir() else packaged.parent.parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without an ini file; ``connection`` is the one to migrate."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@lru_cache(maxsize=1)
def phases() -> dict[str, str]:
    """``pre`` or ``post`` of every revision known here, the newest first. Reads the files: some milliseconds."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return {script.revision: Path(script.path).name.split("_")[1] for script in scripts}


def revisions() -> tuple[str, ...]:
    """The schema revisions that this code knows, the newest first."""
    return tuple(phases())


def needed() -> str:
    """The oldest revision that this code can work on: the newest ``pre``."""
    return next(revision for revision, phase in phases().items() if phase == "pre")


def serves(found: str | None) -> bool:
    """Whether this code can work on a database at ``found``. A revision that it does not know is newer: a deploy
    migrates first, and the old processes go on until they are replaced.
    """
    return found is not None and (is_newer(found) or revisions().index(found) <= revisions().index(needed()))


def is_newer(found: str | None) -> bool:
    """Whether the database is ahead of this code: some newer version has migrated it."""
    return found is not None and found not in revisions()


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate; waits for another migration of the same database to end. A newer database is left as it is.

    Raises ``Conflict`` when a table that has to change stays locked; what was not done yet is as it was. Raises
    ``InvalidInput`` behind a pooler in transaction mode.
    """
    require_sessions(url, "the lock of migrations belongs to a session")
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if is_newer(found):
            log.warning("schema_is_newer", found=found, newest=revisions()[0])
            return
        for _ in range(TRIES):
            connection.rollback()
            try:
                command.upgrade(alembic_config(connection), revision)
            except exc.OperationalError as error:
                if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                    raise
                log.warning("migration_waits", reason="a transaction holds what has to change", again_in=PAUSE)
                time.sleep(PAUSE)
            else:
                return
    raise Conflict(
        f"a table that has to change was locked {TRIES} times in a row: end the transaction that holds it"
        " (the oldest xact_start in pg_stat_activity) and migrate again"
    )


def current(url: str) -> tuple[str | None, str]:
    """``(revision of the database, newest revision known here)``."""
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), revisions()[0]
