"""Bring a database to the schema that this code needs, and say how far it is."""

from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from agentfleet.store.database import sqlalchemy_url


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


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate; waits for another migration of the same database to end."""
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        command.upgrade(alembic_config(connection), revision)


def current(url: str) -> tuple[str | None, str | None]:
    """``(revision of the database, newest revision known here)``."""
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), newest
