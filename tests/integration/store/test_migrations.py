"""Migrations: from nothing to exactly the schema that the code says, by anybody, at any time."""

import asyncio
import re
import shutil
import sys

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import create_engine, exc, pool
from structlog.testing import capture_logs

from agentfleet import bootstrap
from agentfleet.cli.main import main
from agentfleet.domain.errors import Conflict
from agentfleet.settings import Settings
from agentfleet.store import migrate
from agentfleet.store.database import sqlalchemy_url
from agentfleet.store.tables import metadata
from tests.acceptance.fleet import until
from tests.factories import execute

SCHEMA = """
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid::regclass::text <> 'alembic_version'
UNION ALL SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1, 2, 3
"""

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%' OR query = 'COMMIT'
"""


def revisions() -> list[str]:
    return [script.revision for script in ScriptDirectory.from_config(migrate.alembic_config()).walk_revisions()]


def test_an_empty_database_is_brought_to_the_newest_revision(empty_database):
    url = empty_database()
    assert migrate.current(url) == (None, revisions()[0])
    migrate.upgrade(url)
    assert migrate.current(url) == (revisions()[0], revisions()[0])
    migrate.upgrade(url)  # and once more: nothing to do


def test_the_migrations_make_exactly_the_tables_of_the_code(empty_database):
    url = empty_database()
    migrate.upgrade(url)
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_exactly_the_checks_and_indexes_of_the_code(empty_database):
    """Alembic compares neither CHECKs nor the WHERE of an index: both are read from the transition tables."""
    migrated, declared = empty_database(), empty_database()
    migrate.upgrade(migrated)
    execute(declared, "CREATE FUNCTION agentfleet_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'")
    with create_engine(sqlalchemy_url(declared), poolclass=pool.NullPool).begin() as connection:
        metadata.create_all(connection)
    assert execute(migrated, SCHEMA) == execute(declared, SCHEMA)


def test_every_migration_can_be_taken_back_and_made_again(empty_database):
    url = empty_database()
    migrate.upgrade(url)
    before = execute(url, SCHEMA)
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        command.downgrade(migrate.alembic_config(connection), "base")
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    assert execute(url, left) == [("alembic_version",)]
    assert execute(url, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []
    migrate.upgrade(url)
    assert execute(url, SCHEMA) == before


async def test_two_migrations_at_once_wait_for_each_other(empty_database):
    url = empty_database()
    with psycopg.connect(url, autocommit=True) as holder:  # both are under way before either may begin
        lock = migration_lock()
        holder.execute("SELECT pg_advisory_lock(%s)", [lock])
        code = f"from agentfleet.store import migrate; migrate.upgrade({url!r})"
        migrating = [await asyncio.create_subprocess_exec(sys.executable, "-c", code) for _ in range(2)]
        await until(lambda: execute(url, WAITING) == [(2,)], "both look at the lock")
        holder.execute("SELECT pg_advisory_unlock(%s)", [lock])
    assert [await one.wait() for one in migrating] == [0, 0]
    assert migrate.current(url)[0] == revisions()[0]


async def test_a_migration_gives_way_to_a_transaction_and_tries_again(empty_database):
    url = empty_database()
    migrate.upgrade(url, "0001")
    with psycopg.connect(url) as holder, capture_logs() as logged:
        holder.execute("SELECT count(*) FROM attempts")  # a report that nobody ends: an ALTER TABLE has to wait for it
        migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, url))
        await until(lambda: any(line["event"] == "migration_waits" for line in logged), "it gives way")
        with psycopg.connect(url) as writer:
            writer.execute(
                "SET LOCAL lock_timeout = '5s'; LOCK TABLE attempts IN ROW EXCLUSIVE MODE"
            )  # as a settle does
        holder.rollback()
        await migrating
    assert migrate.current(url)[0] == revisions()[0]


async def test_a_migration_that_is_cut_off_in_an_index_can_be_run_again(empty_database):
    """What came before the index is committed by then."""
    url = empty_database()
    migrate.upgrade(url, "0006")
    building = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE request_keys IN ROW EXCLUSIVE MODE")  # its index has to wait for this
        migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, url))
        await until(lambda: execute(url, f"SELECT count(*) {building}") == [(1,)], "it builds an index")
        execute(url, f"SELECT pg_cancel_backend(pid) {building}")
        with pytest.raises(exc.OperationalError):
            await migrating
    assert migrate.current(url)[0] == "0006"
    migrate.upgrade(url)
    assert migrate.current(url)[0] == revisions()[0]


def test_a_newer_schema_is_left_as_it_is(empty_database, monkeypatch):
    url = empty_database()
    migrate.upgrade(url)
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    migrate.upgrade(url)
    assert migrate.current(url)[0] == "9999"
    monkeypatch.setenv("AGENTFLEET_DATABASE_URL", url)
    for option in ([], ["--check"], ["--post"]):
        result = CliRunner().invoke(main, ["migrate", *option])
        assert result.exit_code == 0, result.output
        assert "is at 9999, newer than this version" in result.output


def test_a_migration_after_the_code_waits_for_its_own_command(empty_database, monkeypatch, tmp_path):
    tree = tmp_path / "migrations"
    shutil.copytree(migrate.migrations_directory(), tree, ignore=shutil.ignore_patterns("__pycache__"))
    newest, later = revisions()[0], "later"
    text = f"revision, down_revision = {later!r}, {newest!r}\ndef upgrade(): pass\n"
    (tree / "versions" / "later_post_nothing.py").write_text(text)
    monkeypatch.setattr(migrate, "migrations_directory", lambda: tree)
    monkeypatch.setenv("AGENTFLEET_DATABASE_URL", url := empty_database())
    migrate.phases.cache_clear()
    try:
        told = CliRunner().invoke(main, ["migrate"])
        assert told.output.splitlines()[0] == f"Migrated from nothing to {newest}."
        assert "agentfleet migrate --post (to later)" in told.output
        assert migrate.serves(migrate.current(url)[0]), "the code that runs does not need it"
        assert CliRunner().invoke(main, ["migrate", "--check"]).exit_code == 0
        assert CliRunner().invoke(main, ["migrate", "--post"]).output == f"Migrated from {newest} to later.\n"
    finally:
        migrate.phases.cache_clear()


@pytest.mark.parametrize("process", [bootstrap.worker, bootstrap.reconciler])
async def test_a_process_on_an_older_schema_says_which_it_needs(empty_database, redis_url, process):
    url = empty_database()
    settings = Settings(database_url=url, redis_url=redis_url)
    for revision in (None, "0001"):
        if revision is not None:
            migrate.upgrade(url, revision)
        with pytest.raises(
            Conflict, match=f"is at {revision or 'nothing'}, this version needs {migrate.needed()}: run"
        ):
            async with process(settings):
                pass


def migration_lock() -> int:
    """The advisory lock of Alembic's env.py, which can be run only inside Alembic."""
    text = (migrate.migrations_directory() / "env.py").read_text("utf-8")
    return int(re.search(r"^LOCK = (0x\w+)", text, re.MULTILINE)[1], 16)


def test_file_names_say_their_order_and_whether_they_run_before_or_after_the_code():
    names = sorted(path.name for path in (migrate.migrations_directory() / "versions").glob("*.py"))
    for number, name in enumerate(names, 1):
        assert re.fullmatch(rf"{number:04}_(pre|post)_[a-z0-9_]+\.py", name), name
    assert [name[:4] for name in names] == revisions()[::-1]
