"""`agentfleet batches`: what is under way in the batch lane."""

from typing import TYPE_CHECKING

import click

from agentfleet.cli.database import in_database

if TYPE_CHECKING:
    from agentfleet.store.batches import OpenBatch


@click.command()
def batches() -> None:
    """Open batches: their age, their requests, how many of those somebody still waits for.

    Reads the database of AGENTFLEET_DATABASE_URL, or that of the `agentfleet dev` in this directory.
    """
    from rich.table import Table

    from agentfleet.cli.terminal import console
    from agentfleet.store.batches import open_batches

    table = Table("batch", "account", "provider's id", "age", "requests", "done", "wanted", box=None)
    for one in in_database(open_batches):
        table.add_row(*_row(one))
    console().print(table)


def _row(one: "OpenBatch") -> tuple[str, ...]:
    hours, minutes = divmod(round(one.age / 60), 60)
    shown = one.provider_id or "not known yet"
    return one.id, one.account, shown, f"{hours}h{minutes:02}m", str(one.requests), str(one.done), str(one.wanted)
