"""`agentfleet version`."""

import click


@click.command()
def version() -> None:
    """Print the versions of agentfleet and of what it stands on."""
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    for name in ("agentfleet", "celery", "anthropic", "psycopg", "redis"):
        try:
            click.echo(f"{name} {of(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} (a checkout that is not installed)")
    click.echo(f"python {platform.python_version()}")
