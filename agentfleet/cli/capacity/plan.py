"""`agentfleet capacity plan`: how much of everything a rate of requests needs."""

from typing import TYPE_CHECKING, Any

import click

from agentfleet.cli.capacity.figure import ANY, POSITIVE, Figure

if TYPE_CHECKING:
    from agentfleet.capacity.plan import Demand, Plan, Prices

RATES = (1_000.0, 10_000.0, 100_000.0)


@click.command(short_help="How many workers, which servers and tier, how much money.")
@click.option("--rps", type=POSITIVE, help="Runs submitted a second. [default: a table of 1,000, 10,000 and 100,000]")
@click.option("--step-seconds", type=POSITIVE, default=6.5, show_default=True, help="Mean time of a step.")
@click.option(
    "--tokens",
    nargs=2,
    type=POSITIVE,
    default=(3_000.0, 500.0),
    show_default=True,
    metavar="IN OUT",
    help="Tokens of a model call.",
)
@click.option("--cached", type=Figure(0, 1), default=0.0, help="Share of input read from the cache. [default: 0]")
@click.option(
    "--steps-per-run",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Model calls and tool calls in turn, from a model call to a model call.",
)
@click.option("--model", default="claude-haiku-5-5", show_default=True, help="Whose price counts.")
@click.option("--headroom", type=ANY, default=0.4, show_default=True, help="The share of slots on top.")
@click.option("--pod-cpu", type=POSITIVE, default=0.5, show_default=True, help="Cores that a worker pod requests.")
@click.option("--pod-cost", type=ANY, default=0.03, show_default=True, help="US dollars per pod-hour.")
@click.option("--retention", type=POSITIVE, default=30.0, show_default=True, help="Days for which runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def plan(*, rps: float | None, as_json: bool, **options: Any) -> None:
    """Workers, Postgres, Redis, the provider's tier and money for a rate of requests.

    Computed from the measured cost of a step on one small machine: see docs/guides/capacity.md for how far to trust it.
    """
    from agentfleet.capacity.measured import measured
    from agentfleet.capacity.plan import Demand
    from agentfleet.capacity.plan import plan as make

    demands = [
        Demand(
            rate,
            step_seconds=options["step_seconds"],
            tokens_in=options["tokens"][0],
            tokens_out=options["tokens"][1],
            cached=options["cached"],
            steps_per_run=options["steps_per_run"],
            headroom=options["headroom"],
            pod_cpu=options["pod_cpu"],
            days=options["retention"],
        )
        for rate in ((rps,) if rps else RATES)
    ]
    cost, prices = measured(), _prices(options["model"], options["tokens"][0], options["pod_cost"])
    plans = [make(demand, cost, prices) for demand in demands]
    if as_json:
        _print_json(demands[0], plans, prices)
    else:
        _show(demands[0], plans, prices)


def _prices(model: str, prompt: float, pod_hour: float) -> "Prices":
    from datetime import UTC, datetime
    from decimal import Decimal

    from agentfleet.capacity.plan import Prices
    from agentfleet.provider.prices import find_price

    found = find_price(model, datetime.now(UTC).date(), int(prompt))  # noqa: TID251  # prices of today
    if found is None:
        raise click.BadParameter(f"{model!r} has no known price (agentfleet/provider/prices.py)", param_hint="--model")
    return Prices(model, found.input, found.output, found.read, Decimal(str(pod_hour)))


def _print_json(demand: "Demand", plans: "list[Plan]", prices: "Prices") -> None:
    import json
    from dataclasses import asdict

    from agentfleet.capacity.measured import measured

    asked = {name: value for name, value in asdict(demand).items() if name != "rps"} | {"model": prices.model}
    document = {"asked": asked, "measured": asdict(measured()), "plans": [asdict(each) for each in plans]}
    click.echo(json.dumps(document))


def _show(demand: "Demand", plans: "list[Plan]", prices: "Prices") -> None:
    from rich.table import Table

    from agentfleet.capacity.measured import measured
    from agentfleet.cli.capacity.rows import rows
    from agentfleet.cli.terminal import console

    terminal, cost = console(), measured()
    table = Table("runs a second", *(f"{each.rps:,.0f}" for each in plans), box=None)
    for name, tell in rows(prices.model):
        table.add_row(name, *map(tell, plans))
    terminal.print(table)
    pod = plans[0].pod
    terminal.print(
        f"\nA worker pod at steps of {demand.step_seconds:g} s: {pod.concurrency:,} slots "
        f"(AGENTFLEET_WORKER_CAPACITY; bounded by {pod.binding}), {pod.cpu:.2f} cores when full, "
        f"{pod.memory_mb} MB requested. Measured: {cost.worker_cpu_ms:.2f} ms of CPU per step, "
        f"{cost.idle_mb:.0f} MB idle and {cost.slot_kb:.0f} kB per step in flight.",
        highlight=False,
    )
    terminal.print(
        f"Measured on {cost.date} at {cost.commit} with {cost.steps_per_s:,.0f} steps a second on {cost.machine}. "
        "Beyond ten times that it is an extrapolation: measure before you build (docs/guides/capacity.md).",
        highlight=False,
    )
