"""`agentfleet migrate`: bring the database to the schema that this version needs."""

import click


@click.command()
@click.option("--check", is_flag=True, help="Change nothing: exit code 1 when there is something to migrate.")
@click.pass_context
def migrate(ctx: click.Context, *, check: bool) -> None:
    """Bring the database at AGENTFLEET_DATABASE_URL to the newest schema. Running processes are not disturbed."""
    from agentfleet.cli.database import database_url
    from agentfleet.settings import Settings
    from agentfleet.store import migrate as schema

    url = database_url(Settings())
    before, newest = schema.current(url)
    if before == newest:
        click.echo(f"The schema is at {newest}, the newest.")
        return
    if check:
        click.echo(f"The schema is at {before or 'nothing'}, the newest is {newest}. Run: agentfleet migrate")
        ctx.exit(1)
    schema.upgrade(url)
    click.echo(f"Migrated from {before or 'nothing'} to {newest}.")
