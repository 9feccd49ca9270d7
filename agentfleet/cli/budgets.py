"""`agentfleet budgets`: what may still be spent, and more of it for a run."""

from typing import TYPE_CHECKING, Any

import click

from agentfleet.cli.connect import open_client, speaks_to_the_api
from agentfleet.cli.tenants import COUNT, DOLLARS, NO_CAP

if TYPE_CHECKING:
    from rich.table import Table

    from agentfleet.client.models import Budget


@click.group()
def budgets() -> None:
    """What may still be spent, and more of it for a run.

    A step begins when its worst case fits into what is left of every budget that it spends from: its run's, those of
    the runs above it, its tenant's day. Otherwise it waits. Tenants get their caps with `agentfleet tenants set`.
    """


@budgets.command()
@click.argument("run_id", required=False)
@speaks_to_the_api
def show(*, run_id: str | None, url: str | None, api_key: str | None) -> None:
    """What the tenant may still spend today, or the run RUN_ID."""
    from agentfleet.cli.terminal import console

    with open_client(url, api_key) as client:
        found = client.get(run_id).budget if run_id is not None else client.budgets().tenant_day
    if found is None:
        click.echo("The tenant has no cap: set one with `agentfleet tenants set`.")
    else:
        console().print(_table(found))


@budgets.command("set")
@click.argument("run_id")
@click.option("--max-cost-usd", type=DOLLARS, help="US dollars.")
@click.option("--max-tokens", type=COUNT, help="Input, cache write and output tokens.")
@click.option("--max-steps", type=COUNT, help="Model calls and tool calls.")
@click.option("--max-tool-calls", type=COUNT, help="Tool calls only.")
@speaks_to_the_api
def set_budget(*, run_id: str, url: str | None, api_key: str | None, **ceilings: Any) -> None:
    """Give the run RUN_ID other ceilings; `none` lifts one. What waits for them goes on at once."""
    from agentfleet.cli.terminal import console

    given = {name: None if value == NO_CAP else value for name, value in ceilings.items() if value is not None}
    if not given:
        raise click.UsageError("Nothing to set: give a --max-....")
    with open_client(url, api_key) as client:
        found = client.change_budget(run_id, **given).budget
    if found is not None:
        console().print(_table(found))


def _table(found: "Budget") -> "Table":
    from rich.table import Table

    table = Table("", "ceiling", "used", "held", "remaining", box=None)
    for name in ("steps", "tool_calls", "tokens", "cost_usd"):
        most, *spent = (getattr(part, name) for part in (found.max, found.used, found.held, found.remaining))
        table.add_row(
            name.replace("_", " "),
            *("none" if one is None else f"{one:f}" if name == "cost_usd" else str(one) for one in (most, *spent)),
        )
    return table
