"""`agentfleet usage`: what was spent, saved and wasted. Speaks to the database: it sees every tenant."""

from typing import TYPE_CHECKING

import click

from agentfleet.cli.database import in_database

if TYPE_CHECKING:
    from decimal import Decimal

    from agentfleet.domain.waste import Line
    from agentfleet.engine.usage import Report

KEYS = ("tenant", "agent", "bundle", "model", "day")


@click.command()
@click.option("--since", default="7d", show_default=True, help="How far back, as in 7d, 36h or 1d12h; at most 92d.")
@click.option("--by", type=click.Choice(KEYS), default="agent", show_default=True, help="What it is added up by.")
@click.option("--tenant", help="Only this tenant's runs.")
@click.option("--json", "as_json", is_flag=True, help="For programs: the document of GET /v1/usage.")
def usage(*, since: str, by: str, tenant: str | None, as_json: bool) -> None:
    """What runs spent, what caches, batches and routing saved, and what brought nothing, by cause."""
    from agentfleet.domain.durations import parse_duration
    from agentfleet.domain.waste import By
    from agentfleet.engine.usage import LONGEST, report
    from agentfleet.provider.prices import cost

    seconds = parse_duration(since)
    if seconds is None or not 0 < seconds <= LONGEST:
        raise click.BadParameter(f"{since!r} is not a time like 7d, 36h or 1d12h, up to 92d", param_hint="--since")
    found = in_database(lambda db: report(db, since=seconds, by=By(by), price=cost, tenant_id=tenant))
    if as_json:
        from agentfleet.api import documents, usage_documents

        click.echo(documents.dumps(usage_documents.report(found)))
    else:
        _show(found)


def _show(found: "Report") -> None:
    from rich.table import Table

    from agentfleet.cli.terminal import console

    terminal = console()
    table = Table(found.by.value, "calls", "tokens in", "read", "out", "spent", "saved", "wasted", "most for", box=None)
    for line in (*found.lines, found.total):
        table.add_row(line.key, *_numbers(line), _worst(line))
    terminal.print(table)
    if not found.total.wasted and not found.total.saved:
        return
    every = Table("", "calls", "tokens", "usd", box=None)
    for saving, usd in found.total.saved.items():
        every.add_row(f"saved by {saving}", "", "", _usd(usd))
    for cause, lost in found.total.wasted.items():
        every.add_row(f"wasted: {cause}", f"{lost.calls:,}", f"{lost.tokens:,}", _usd(lost.cost_usd))
    terminal.print()
    terminal.print(every)


def _numbers(line: "Line") -> list[str]:
    counts = (line.calls, line.input_tokens + line.cache_write_tokens, line.cache_read_tokens, line.output_tokens)
    saved = sum(line.saved.values(), start=type(line.cost_usd)(0))
    dollars = (line.cost_usd + line.estimated_usd, saved, line.wasted_usd)
    return [*(f"{count:,}" for count in counts), *map(_usd, dollars)]


def _worst(line: "Line") -> str:
    """The cause that cost most."""
    return max(line.wasted, key=lambda cause: line.wasted[cause].cost_usd).value if line.wasted else ""


def _usd(amount: "Decimal") -> str:
    return f"${amount:.4f}"
