"""`agentfleet retention`: what is due to be deleted, doing it now, and reading back what was archived."""

import asyncio
import uuid
from typing import TYPE_CHECKING

import click

from agentfleet.cli.database import in_database

if TYPE_CHECKING:
    from agentfleet.archive import S3Archive
    from agentfleet.domain.retention import Keep
    from agentfleet.settings import Settings
    from agentfleet.store.database import Database
    from agentfleet.store.retention import Size

    Due = tuple[str, Keep, int, int]
    """A tenant, its terms, how many of its runs are due, and the details of how many others."""


@click.group()
def retention() -> None:
    """How long ended runs are kept, deleting what is due, and reading what was archived.

    Speaks to the database of AGENTFLEET_DATABASE_URL, or to that of the `agentfleet dev` in this directory. How long
    runs stay is set by AGENTFLEET_KEEP_RUNS and its like, and by `agentfleet tenants set`; unless it is, for ever.
    """


@retention.command()
def status() -> None:
    """How long each tenant keeps its runs, how many are due, and how large the tables are."""
    from rich.table import Table

    from agentfleet.cli.terminal import console
    from agentfleet.domain.retention import in_words
    from agentfleet.settings import Settings
    from agentfleet.store import retention as store

    settings = Settings()

    async def look(db: "Database") -> "tuple[list[Due], list[Size]]":
        return await _due(db, settings), await store.sizes(db)

    due, sizes = in_database(look)
    terms = Table("tenant", "runs", "failed runs", "details", "runs due", "details due", box=None)
    for tenant, keep, runs, details in due:
        failed = keep.run(succeeded=False)
        ages = (keep.runs, failed, min(keep.details, max(keep.runs, failed)))
        terms.add_row(tenant, *map(in_words, ages), str(runs), str(details))
    console().print(terms)
    console().print(f"\narchive: {settings.archive or 'none: what is due is deleted for good'}\n")
    tables = Table("table", "MB", "rows", "dead rows", box=None)
    for size in sizes:
        tables.add_row(size.table, f"{size.bytes / 1e6:.1f}", f"{size.rows:,}", f"{size.dead_rows:,}")
    console().print(tables)


@retention.command("run")
@click.option("--dry-run/--go", default=True, help="Only say what is due, or do it. [dry run]")
def run_now(*, dry_run: bool) -> None:
    """With --go: archive and delete what is due, at once and until nothing is; the reconciler does so by itself.

    What has children that are still there, or an open dead letter, is due later. Exit code 1 when the archive fails.
    """
    from agentfleet.bootstrap.retention import run_pruner
    from agentfleet.settings import Settings

    settings = Settings()

    async def prune(db: "Database") -> tuple[int, str | None]:
        pruner, done = run_pruner(settings, db), 0
        while count := await pruner.run_once():
            done += count
            click.echo(f"{done} ...", err=True)
        return done, pruner.trouble

    if dry_run:
        due = in_database(lambda db: _due(db, settings))
        runs, details = sum(row[2] for row in due), sum(row[3] for row in due)
        click.echo(f"{runs} runs are due to be deleted, and the details of {details} others. Add --go to do it.")
        return
    done, trouble = in_database(prune)
    click.echo(f"{done} runs or their details were {'archived and ' if settings.archive else ''}deleted.")
    if trouble is not None:
        raise click.ClickException(f"The archive failed, so the rest stays: {trouble}")


async def _due(db: "Database", settings: "Settings") -> "list[Due]":
    from agentfleet.domain.retention import to_forget, to_strip
    from agentfleet.store import retention as store

    found: list[Due] = []
    for tenant, keep in (await store.policies(db, settings.keep())).items():
        forget, strip = to_forget(tenant, keep), to_strip(tenant, keep)
        early = {rule.succeeded for rule in strip}
        both = [rule for rule in forget if rule.succeeded in early and not rule.stripped]
        details = await store.count_ended(db, strip) - await store.count_ended(db, both)
        found.append((tenant, keep, await store.count_ended(db, forget), max(details, 0)))
    return found


@retention.command()
@click.argument("run_id", type=click.UUID)
@click.option("--tenant", help="Whose run it is; needed only where the database does not know it any more.")
def read(run_id: uuid.UUID, tenant: str | None) -> None:
    """Print a run that was archived, as JSON: the rows of each table, as docs/guides/retention.md describes them."""
    from agentfleet.bootstrap.retention import archive
    from agentfleet.settings import Settings
    from agentfleet.store import retention as store

    settings = Settings()
    objects = archive(settings)
    if objects is None:
        raise click.UsageError("AGENTFLEET_ARCHIVE is not set: there is no archive to read from.")
    key = None
    if tenant is None:
        known = in_database(lambda db: store.place_of(db, str(run_id)))
        if known is None:
            raise click.UsageError(f"The database knows no run {run_id}: say with --tenant whose it was.")
        tenant, key = str(known.tenant_id), known.archived_to and objects.place.key(known.archived_to)
    found = asyncio.run(_find(objects, str(run_id), key, tenant))
    if found is None:
        raise click.ClickException(f"{objects.name} has no run {run_id} of tenant {tenant}.")
    click.echo(found.decode())


async def _find(objects: "S3Archive", run_id: str, key: str | None, tenant: str) -> bytes | None:
    """The text of a run: from the object that is known to have it, or else from the one with the most of it."""
    from agentfleet.engine.archive import born_on, may_hold, prefix_of, unpack

    keys = [key] if key is not None else await objects.keys(prefix_of(tenant, born_on(run_id)))
    texts: dict[int, bytes] = {}
    for name in keys:
        if may_hold(name, run_id):
            for document, line in unpack(name, await objects.get(name)):
                if document["run"]["id"] == run_id:
                    texts[len(document["steps"])] = line
    return texts[max(texts)] if texts else None
