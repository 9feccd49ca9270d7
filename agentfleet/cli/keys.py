"""`agentfleet keys`: API keys. Speaks to the database, so that it works when nobody has a key."""

from typing import TYPE_CHECKING
from uuid import UUID

import click

from agentfleet.cli.database import in_database

if TYPE_CHECKING:
    from agentfleet.store.database import Database


@click.group()
def keys() -> None:
    """API keys."""


@keys.command()
@click.option("--tenant", required=True, help="Whose runs it may see and submit; made when it is new.")
@click.option("--name", required=True, help="What it is for.")
def create(*, tenant: str, name: str) -> None:
    """Make a key and print it, for the only time."""
    import asyncio

    from agentfleet.cli.database import database_url
    from agentfleet.dev.prepare import new_key
    from agentfleet.settings import Settings

    if not tenant.strip():
        raise click.BadParameter("is empty; expected a name such as acme", param_hint="--tenant")
    settings = Settings()
    click.echo(asyncio.run(new_key(settings, database_url(settings), tenant, name)))


@keys.command("list")
def list_keys() -> None:
    """All keys: their ids, not the keys themselves, which nobody has."""
    from rich.table import Table

    from agentfleet.cli.terminal import console
    from agentfleet.store import api_keys

    table = Table("id", "tenant", "name", "created", "revoked", box=None)
    for key in in_database(api_keys.listed):
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(key.id, key.tenant_id, key.name, f"{key.created_at:%Y-%m-%d %H:%M:%S}", revoked)
    console().print(table)


@keys.command()
@click.argument("key_ids", nargs=-1, type=click.UUID, metavar="[ID]...")
@click.option("--tenant", help="All keys of this tenant.")
def revoke(*, key_ids: tuple[UUID, ...], tenant: str | None) -> None:
    """Refuse the keys ID, or all of a tenant, from the next request on. `keys list` shows their ids.

    Runs that they have submitted go on.
    """
    if bool(key_ids) == (tenant is not None):
        raise click.UsageError("Give the IDs of keys, or a --tenant.")

    async def ask(db: "Database") -> int:
        from agentfleet.store import api_keys

        return await api_keys.revoke(db, key_ids=[str(key_id) for key_id in key_ids], tenant_id=tenant)

    count = in_database(ask)
    if not count:
        raise click.ClickException("None of them is a valid key. `agentfleet keys list` shows all keys.")
    click.echo(f"{count} {'key is' if count == 1 else 'keys are'} refused from now on.")
