"""`agentfleet alerts`: what a human should know, and that it is dealt with. Speaks to the database, as `keys` does."""

import click

from agentfleet.cli.database import in_database


@click.group()
def alerts() -> None:
    """What a human should know: list alerts, or say that one is dealt with."""


@alerts.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too; they are kept for 30 days.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
def list_alerts(*, everything: bool, limit: int) -> None:
    """The newest alerts."""
    from rich.table import Table

    from agentfleet.cli.terminal import console
    from agentfleet.store import alerts as store

    found = in_database(lambda db: store.listed(db, resolved=everything, limit=limit))
    table = Table("kind", "subject", "since", "seen", "state", "message", box=None)
    for alert in found:
        since = alert.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        state = "open" if alert.resolved_at is None else "resolved"
        told = state if alert.told else f"{state}, not told yet"
        table.add_row(alert.kind, alert.subject, since, str(alert.seen), told, alert.message)
    console().print(table)


@alerts.command()
@click.argument("kind")
@click.argument("subject")
def resolve(*, kind: str, subject: str) -> None:
    """Say that it is dealt with. It opens again when it is seen again."""
    from agentfleet.domain.alerts import AlertKind
    from agentfleet.store import alerts as store

    kinds = [known.value for known in AlertKind]
    if kind not in kinds:
        raise click.BadParameter(f"{kind!r} is none of {', '.join(kinds)}", param_hint="KIND")
    if not in_database(lambda db: store.resolve(db, AlertKind(kind), subject)):
        raise click.ClickException(f"No alert {kind} of {subject} is open: see `agentfleet alerts list`.")
    click.echo(f"{kind} of {subject} is resolved.")
