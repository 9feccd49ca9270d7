"""`agentfleet dead-letters`: steps that were given up on, and what to do about them."""

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from agentfleet.cli.connect import open_client, speaks_to_the_api
from agentfleet.cli.letter_options import filtered, given, number, value_of, when

if TYPE_CHECKING:
    from agentfleet.client import Client, ReplayPlan

NOTHING = "No dead letters."
REFUSED = 1
"""Exit code when something was left undone."""


@click.group("dead-letters")
def dead_letters() -> None:
    """Steps that were given up on: look at them by kind; replay, skip or discard them."""


@dead_letters.command()
@filtered
@click.option("--all-tenants", is_flag=True, help="Of every tenant: reads the database (AGENTFLEET_DATABASE_URL).")
@speaks_to_the_api
def clusters(*, all_tenants: bool, url: str | None, api_key: str | None, **terms: Any) -> None:
    """Open dead letters by kind, the largest kind first."""
    from rich.table import Table

    from agentfleet.cli.terminal import console

    if all_tenants:
        from agentfleet.cli.letter_database import every_cluster

        found: list[Any] = every_cluster(given(terms))
    else:
        with open_client(url, api_key) as client:
            found = [*client.clusters(**given(terms))]
    if not found:
        click.echo(NOTHING)
        return
    table = Table(
        "kind", "letters", "runs", "tenants", "spent", "first", "last", "verdict", "where", "example", box=None
    )
    for one in found:
        tenants = str(getattr(one, "tenants", 1))
        spent = f"${one.cost_usd:.2f}"
        where = f"{one.agent}: {one.kind} {one.name}"
        told = str(value_of(one.error).get("message", ""))
        table.add_row(
            one.fingerprint, str(one.count), str(one.runs), tenants, spent, when(one.first_seen), when(one.last_seen),
            one.verdict, where, told,
        )  # fmt: skip
    console().print(table, markup=False)


@dead_letters.command("list")
@click.option(
    "--status", type=click.Choice(["open", "replayed", "discarded", "all"]), default="open", show_default=True
)
@filtered
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@speaks_to_the_api
def list_letters(*, status: str, limit: int, url: str | None, api_key: str | None, **terms: Any) -> None:
    """The newest dead letters."""
    from rich.table import Table

    from agentfleet.cli.terminal import console

    with open_client(url, api_key) as client:
        letters = client.dead_letters(status=None if status == "all" else status, **given(terms))
        found = [*islice(letters, limit)]
    if not found:
        click.echo(NOTHING)
        return
    table = Table("dead letter", "state", "run", "agent", "step", "verdict", "kind", "error", box=None)
    for letter in found:
        step = f"{letter.step['kind']} {letter.step['name']}"
        error = str(letter.error.get("message", ""))
        table.add_row(
            letter.id, letter.status, letter.run_id, letter.agent, step, letter.verdict, letter.fingerprint or "", error
        )
    console().print(table, markup=False)


@dead_letters.command()
@click.argument("dead_letter_id")
@speaks_to_the_api
def show(*, dead_letter_id: str, url: str | None, api_key: str | None) -> None:
    """One dead letter with all that is known, as JSON: error, attempts, last messages, what its run has spent."""
    with open_client(url, api_key) as client:
        click.echo(client.dead_letter(dead_letter_id).model_dump_json(indent=2))


@dead_letters.command()
@click.argument("dead_letter_ids", nargs=-1, metavar="[DEAD_LETTER_ID]...")
@filtered
@click.option("--dry-run/--go", default=None, help="With a filter: only tell what it would do, or do it. [dry run]")
@click.option("--model", help="Replay with this model instead of the run's.")
@click.option("--instructions", help="Replay with these instructions instead of the run's.")
@click.option("--input", "edited", help="For one: a tool call's arguments as JSON, or the run's input.")
@click.option("--message", help="For one: appended to the conversation before the model goes on.")
@speaks_to_the_api
@click.pass_context
def replay(  # noqa: PLR0913  # one per option
    ctx: click.Context,
    *,
    dead_letter_ids: tuple[str, ...],
    dry_run: bool | None,
    model: str | None,
    instructions: str | None,
    edited: str | None,
    message: str | None,
    url: str | None,
    api_key: str | None,
    **terms: Any,
) -> None:
    """Put steps back with fresh attempts: their runs go on where they stopped.

    Those that are listed come back at once. Those that a filter means come back with --go, behind all other work;
    without it you see how many, what it may cost and how long it may take. Exit code 1: some are still open.
    """
    which, edit = given(terms), given({"model": model, "instructions": instructions})
    if bool(dead_letter_ids) == bool(which):
        raise click.UsageError("Give ids, or a filter such as --fingerprint, and not both.")
    if which and (edited is not None or message is not None):
        raise click.UsageError("--input and --message are for one dead letter: give its id.")
    if dead_letter_ids and dry_run:
        raise click.UsageError("--dry-run is for a filter: what is listed comes back, and nothing else.")
    with open_client(url, api_key) as client:
        if which:
            ctx.exit(_in_bulk(client, client.plan_replay(edit=edit, **which), go=dry_run is False))
        for one in dead_letter_ids:
            back = None if edited is None else value_of(edited, text_too=True)
            letter = client.replay(one, input=back, message=message, **edit)
            click.echo(f"{letter.id} is {letter.status}: run {letter.run_id} goes on.")


@dead_letters.command()
@click.argument("dead_letter_id")
@click.option("--result", required=True, help="What the tool returned, or would have: a text or JSON.")
@click.option("--error", "is_error", is_flag=True, help="Tell the model that the tool failed with it.")
@speaks_to_the_api
def skip(*, dead_letter_id: str, result: str, is_error: bool, url: str | None, api_key: str | None) -> None:
    """Say what a tool returned: its run goes on with that, and the tool is not called."""
    with open_client(url, api_key) as client:
        letter = client.skip(dead_letter_id, value_of(result, text_too=True), is_error=is_error)
        click.echo(f"{letter.id} is skipped: run {letter.run_id} goes on with the result.")


@dead_letters.command()
@click.argument("dead_letter_ids", nargs=-1, required=True, metavar="DEAD_LETTER_ID...")
@speaks_to_the_api
def discard(*, dead_letter_ids: tuple[str, ...], url: str | None, api_key: str | None) -> None:
    """Give up for good: their runs end as failed."""
    with open_client(url, api_key) as client:
        for one in dead_letter_ids:
            letter = client.discard(one)
            click.echo(f"{letter.id} is {letter.status}: run {letter.run_id} has failed.")


@dead_letters.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
def unreadable(*, limit: int) -> None:
    """Messages on our queues that are no steps. They are no tenant's: reads the database (AGENTFLEET_DATABASE_URL)."""
    from agentfleet.cli.letter_database import every_unreadable

    found = every_unreadable(limit)
    if not found:
        click.echo("No unreadable messages.")
    for one in found:
        told = value_of(one.error).get("message", "")
        click.echo(f"{one.id}  {when(one.created_at)}  {told}\n  {bytes(one.raw)[:500]!r}")


def _in_bulk(client: "Client", plan: "ReplayPlan", *, go: bool) -> int:
    """The exit code."""
    from agentfleet.cli.terminal import Talker, console

    if not plan.count:
        click.echo(NOTHING if not plan.unfit else f"None of {number(plan.unfit, 'dead letter')} can be edited so.")
        return REFUSED if plan.unfit else 0
    cost = "unknown cost" if plan.estimated_cost_usd is None else f"about ${plan.estimated_cost_usd:.2f}"
    time = "unknown time" if plan.estimated_seconds is None else f"about {plan.estimated_seconds:.0f} s"
    click.echo(f"{number(plan.count, 'dead letter')} of {number(plan.runs, 'run')}: {cost}, {time}.")
    if plan.unfit:
        click.echo(f"{plan.unfit} more match, but cannot be edited so: they stay open.")
    if not go:
        click.echo("Nothing was done. Add --go to replay them, behind all other work.")
        return 0
    talker, back, left = Talker(console(stderr=True)), 0, plan.count
    for done in client.replay_all(plan):
        back, left = back + len(done.replayed), done.remaining
        talker.progress(f"{back} replayed, {left} to go")
    talker.progress("")
    click.echo(f"{number(back, 'dead letter')} replayed" + (f", {left} still open." if left else "."))
    return REFUSED if left or plan.unfit else 0
