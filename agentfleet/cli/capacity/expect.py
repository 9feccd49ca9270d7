"""`agentfleet capacity expect`: announce an event, so that workers are there when it begins. Speaks to the database."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from agentfleet.cli.database import in_database
from agentfleet.domain.durations import parse_duration
from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.expectations import Expectation

if TYPE_CHECKING:
    from agentfleet.store.expectations import Announced


class Time(click.ParamType[datetime]):
    """An ISO 8601 time with its zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time."""
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-12-01T09:00Z", param, ctx)


class Duration(click.ParamType[float]):
    """Such as `2h` or `1d12h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        seconds = parse_duration(str(value))
        if not seconds:
            self.fail(f"{value!r} is no duration such as 2h, 90m or 1d12h", param, ctx)
        return seconds


@click.group(invoke_without_command=True)
@click.option("--at", type=Time(), help="When it begins, with its time zone: 2026-12-01T09:00Z.")
@click.option("--cron", help="When it begins, again and again: minute, hour, day of month, month, day of week.")
@click.option("--tz", default="UTC", show_default=True, help="Whose clocks --cron means, such as Europe/Berlin.")
@click.option("--for", "seconds", type=Duration(), help="How long it lasts: 2h, 90m.")
@click.option("--factor", type=float, help="How many times the usual work comes: that of the same hour a week ago.")
@click.option("--pool", help="The pool that it concerns; all unless given.")
@click.option("--note", help="What it is, for those who read the list.")
@click.pass_context
def expect(
    ctx: click.Context,
    *,
    at: datetime | None,
    cron: str | None,
    tz: str,
    seconds: float | None,
    factor: float | None,
    pool: str | None,
    note: str | None,
) -> None:
    """Announce an event, once (--at) or again and again (--cron).

    The autoscaler starts workers for it AGENTFLEET_SCALE_LEAD seconds before it begins. `expect list` shows what is
    announced, `expect remove` takes it back.
    """
    if ctx.invoked_subcommand is not None:
        return
    if seconds is None or factor is None or (at is None) == (cron is None):
        raise click.UsageError("Say when and how much: --at or --cron, --for and --factor.")
    try:
        asked = Expectation(factor, seconds, at, cron, tz, pool, note)
    except InvalidInput as error:
        raise click.UsageError(f"--{'for' if error.field == 'seconds' else error.field} {error.problem}.") from error

    from agentfleet.store import expectations

    kept = in_database(lambda db: expectations.add(db, asked))
    click.echo(f"{kept.expectation.id}: {_when(kept.next)}, {factor:g} times the usual work for {seconds / 3600:g} h.")


@expect.command("list")
def list_expectations() -> None:
    """What is announced."""
    from rich.table import Table

    from agentfleet.cli.terminal import console
    from agentfleet.store import expectations

    table = Table("id", "next", "hours", "factor", "pool", "cron", "note", box=None)
    for each in in_database(expectations.listed):
        table.add_row(*_row(each))
    console().print(table)


@expect.command("remove")
@click.argument("expectation_id", type=click.UUID, metavar="ID")
def remove(*, expectation_id: UUID) -> None:
    """Take an announcement back."""
    from agentfleet.store import expectations

    if not in_database(lambda db: expectations.remove(db, str(expectation_id))):
        raise click.UsageError(
            f"There is no expectation {expectation_id}; `agentfleet capacity expect list` shows all."
        )
    click.echo("It is not expected any more.")


def _row(announced: "Announced") -> list[str]:
    one = announced.expectation
    cron = f"{one.cron} ({one.tz})" if one.cron else ""
    hours = f"{one.seconds / 3600:g}"
    return [one.id, _when(announced.next), hours, f"{one.factor:g}", one.pool or "all", cron, one.note or ""]


def _when(time: datetime | None) -> str:
    return "over" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
