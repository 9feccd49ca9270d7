"""`agentfleet tenants`: what tenants may spend in a day, their share, how long their runs are kept.

Speaks to the database, as `keys` does.
"""

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from agentfleet.cli.database import in_database

if TYPE_CHECKING:
    from agentfleet.store.database import Database

NO_CAP = "none"
DEFAULT = "default"


class Ceiling(click.ParamType[Any]):
    """A number greater than zero, or `none`."""

    def __init__(self, number: "type[int | Decimal]", most: int) -> None:
        self.name = "number|none"
        self._number, self._most = number, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; ``none`` stays as it is."""
        if value == NO_CAP:
            return value
        try:
            number = self._number(value)
            fits = 0 < number < self._most
        except (ValueError, InvalidOperation):
            number, fits = self._number(0), False
        if not fits:
            self.fail(f"{value!r} is neither {NO_CAP!r} nor more than 0 and less than {self._most:,}", param, ctx)
        return number


class Term(click.ParamType[Any]):
    """How long runs are kept, in seconds; `default`: as the deployment says."""

    name = "duration|forever|default"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Seconds; ``default`` stays as it is."""
        from agentfleet.domain.errors import InvalidInput
        from agentfleet.domain.retention import read_keep

        if value == DEFAULT or not isinstance(value, str):
            return value
        try:
            return read_keep("", value)
        except InvalidInput as error:
            self.fail(f"{error.problem}, or {DEFAULT!r}", param, ctx)


KEEP = Term()
COUNT, DOLLARS = Ceiling(int, 2**53), Ceiling(Decimal, 10_000_000)


@click.group()
def tenants() -> None:
    """What tenants may spend in a day, and their share of a provider that is contended."""


@tenants.command("list")
def list_tenants() -> None:
    """All tenants: today's use and ceiling of each dimension."""
    from rich.table import Table

    from agentfleet.cli.terminal import console
    from agentfleet.domain.budget import DIMENSIONS
    from agentfleet.store import tenants as store

    table = Table("tenant", "weight", *(name.replace("_", " ") for name in DIMENSIONS), box=None)
    for tenant in in_database(store.listed):
        uses = [_use(getattr(tenant.used, name), getattr(tenant.cap, f"max_{name}")) for name in DIMENSIONS]
        table.add_row(tenant.id, f"{tenant.weight.normalize():f}", *uses)
    console().print(table)


@tenants.command("set")
@click.argument("name")
@click.option("--max-cost-usd-per-day", type=DOLLARS, help="US dollars.")
@click.option("--max-tokens-per-day", type=COUNT, help="Input, cache write and output tokens.")
@click.option("--max-steps-per-day", type=COUNT, help="Model calls and tool calls.")
@click.option("--max-tool-calls-per-day", type=COUNT, help="Tool calls only.")
@click.option("--keep-runs", type=KEEP, help="How long runs stay after their end, as 30d; `forever`; `default`.")
@click.option("--keep-failed-runs", type=KEEP, help="The same for runs that did not succeed.")
@click.option("--keep-details", type=KEEP, help="The same for the steps, attempts, messages and events of runs.")
@click.option(
    "--weight", type=click.FloatRange(0.001, 999), help="Twice the weight gets twice as much of a contended provider."
)
def set_tenant(*, name: str, weight: float | None, **caps: Any) -> None:
    """Set what is given, for today (UTC) and all days after it; `none` lifts a cap. A tenant that is new is created.

    At a cap its runs wait, and go on at once when it is raised, or with the next day. Ended runs are kept as --keep-...
    says, or else as the deployment does.
    """
    given = {option.removesuffix("_per_day"): value for option, value in caps.items() if value is not None}
    terms = {name.removeprefix("keep_"): given.pop(name) for name in list(given) if name.startswith("keep_")}
    if not given and not terms and weight is None:
        raise click.UsageError("Nothing to set: give a --max-..., a --keep-... or the --weight.")

    async def change(db: "Database") -> None:
        from agentfleet.store import retention
        from agentfleet.store import tenants as store

        if terms:
            await retention.change(db, name, {term: None if age == DEFAULT else age for term, age in terms.items()})
        if not given and weight is None:
            return
        known = {tenant.id: tenant for tenant in await store.listed(db)}.get(name)
        cap = store.UNCAPPED if known is None else known.cap
        cap = replace(cap, **{option: None if value == NO_CAP else value for option, value in given.items()})
        share = Decimal(str(weight)) if weight is not None else known.weight if known is not None else Decimal(1)
        await store.change(db, name, cap, share)

    in_database(change)
    click.echo(f"{name} is set. `agentfleet tenants list` shows its caps, `agentfleet retention status` its terms.")


def _use(used: Any, most: Any) -> str:
    return _plain(used) if most is None else f"{_plain(used)} of {_plain(most)}"


def _plain(number: Any) -> str:
    return f"{number.normalize():f}" if isinstance(number, Decimal) else str(number)
