"""`agentfleet dead-letters`: steps that were given up on, and what to do about them."""

from itertools import islice

import click

from agentfleet.cli.connect import open_client, speaks_to_the_api


@click.group("dead-letters")
def dead_letters() -> None:
    """Steps that were given up on: replay or discard them."""


@dead_letters.command("list")
@click.option(
    "--status", type=click.Choice(["open", "replayed", "discarded", "all"]), default="open", show_default=True
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@speaks_to_the_api
def list_letters(*, status: str, limit: int, url: str | None, api_key: str | None) -> None:
    """The newest dead letters."""
    from rich.table import Table

    from agentfleet.cli.terminal import console

    table = Table("dead letter", "state", "run", "agent", "step", "verdict", "error", box=None)
    with open_client(url, api_key) as client:
        for letter in islice(client.dead_letters(status=None if status == "all" else status), limit):
            step = f"{letter.step['kind']} {letter.step['name']}"
            error = str(letter.error.get("message", ""))
            table.add_row(letter.id, letter.status, letter.run_id, letter.agent, step, letter.verdict, error)
    console().print(table)


@dead_letters.command()
@click.argument("dead_letter_id")
@speaks_to_the_api
def show(*, dead_letter_id: str, url: str | None, api_key: str | None) -> None:
    """One dead letter with all that is known about the error, as JSON."""
    with open_client(url, api_key) as client:
        click.echo(client.dead_letter(dead_letter_id).model_dump_json(indent=2))


@dead_letters.command()
@click.argument("dead_letter_ids", nargs=-1, required=True, metavar="DEAD_LETTER_ID...")
@speaks_to_the_api
def replay(*, dead_letter_ids: tuple[str, ...], url: str | None, api_key: str | None) -> None:
    """Put steps back with fresh attempts: their runs go on where they stopped."""
    with open_client(url, api_key) as client:
        for one in dead_letter_ids:
            letter = client.replay(one)
            click.echo(f"{letter.id} is {letter.status}: run {letter.run_id} goes on.")


@dead_letters.command()
@click.argument("dead_letter_ids", nargs=-1, required=True, metavar="DEAD_LETTER_ID...")
@speaks_to_the_api
def discard(*, dead_letter_ids: tuple[str, ...], url: str | None, api_key: str | None) -> None:
    """Give up for good: their runs end as failed."""
    with open_client(url, api_key) as client:
        for one in dead_letter_ids:
            letter = client.discard(one)
            click.echo(f"{letter.id} is {letter.status}: run {letter.run_id} has failed.")
