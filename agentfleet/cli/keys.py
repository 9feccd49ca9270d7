"""`agentfleet keys`: API keys."""

import click


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

    settings = Settings()
    click.echo(asyncio.run(new_key(settings, database_url(settings), tenant, name)))
