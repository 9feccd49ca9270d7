"""`agentfleet migrate`: bring the database to the schema that this version needs."""

import click


@click.command()
@click.option("--post", is_flag=True, help="Go to the newest schema: no process of an older version runs any more.")
@click.option("--check", is_flag=True, help="Change nothing: exit code 1 when there is something to migrate.")
@click.pass_context
def migrate(ctx: click.Context, *, post: bool, check: bool) -> None:
    """Bring the database at AGENTFLEET_DATABASE_URL (behind a pooler: AGENTFLEET_DATABASE_DIRECT_URL) to the schema
    that this version needs. Running processes, which may be of the version before, are not disturbed.
    """
    from agentfleet.cli.database import database_url
    from agentfleet.settings import Settings
    from agentfleet.store import migrate as schema

    settings = Settings()
    url = settings.database_direct_url or database_url(settings)
    before, newest = schema.current(url)
    target = newest if post else schema.needed()
    if schema.is_newer(before):
        click.echo(f"The schema is at {before}, newer than this version, which knows {newest}: nothing to migrate.")
        return
    if before == target or (not post and schema.serves(before)):
        click.echo(f"The schema is at {before}, as this version needs it.")
    elif check:
        again = "agentfleet migrate --post" if post else "agentfleet migrate"
        click.echo(f"The schema is at {before or 'nothing'}, this version needs {target}. Run: {again}")
        ctx.exit(1)
    else:
        schema.upgrade(url, target)
        click.echo(f"Migrated from {before or 'nothing'} to {target}.")
    if not post and schema.current(url)[0] != newest:
        click.echo(f"When no process of an older version runs any more: agentfleet migrate --post (to {newest}).")
