"""`agentfleet runs`: look at runs, and end one."""

from itertools import islice
from typing import TYPE_CHECKING

import click

from agentfleet.cli.connect import open_client, speaks_to_the_api

if TYPE_CHECKING:
    from datetime import datetime

    from rich.table import Table

    from agentfleet.cli.model_costs import ModelCost
    from agentfleet.client import Waiting

OPEN = ("queued", "running", "waiting", "paused", "needs_review")
"""The states in which a run can be cancelled."""
MOST = 10_000
"""The API counts positions up to here."""


@click.group()
def runs() -> None:
    """Look at runs, and end one."""


@runs.command("list")
@click.option("--status", multiple=True, help="Only runs in this state; may be repeated.")
@click.option("--agent", help="Only runs of this agent.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@speaks_to_the_api
def list_runs(*, status: tuple[str, ...], agent: str | None, limit: int, url: str | None, api_key: str | None) -> None:
    """The newest runs."""
    from rich.table import Table

    from agentfleet.cli.terminal import console

    table = Table("run", "agent", "state", "created", "steps", "cost", box=None)
    with open_client(url, api_key) as client:
        for run in islice(client.runs(status=status, agent=agent), limit):
            state = f"{run.status} ({run.waiting.blocked_on})" if run.waiting else run.status
            table.add_row(
                run.id, run.agent, state, _clock(run.created_at), str(run.usage.steps), f"${run.usage.cost_usd:f}"
            )
    console().print(table)


@runs.command()
@click.argument("run_id")
@speaks_to_the_api
def show(*, run_id: str, url: str | None, api_key: str | None) -> None:
    """One run, its steps and their attempts; what each model cost, if it had several."""
    import json

    from rich.table import Table

    from agentfleet.cli.model_costs import by_model, saved
    from agentfleet.cli.terminal import console

    terminal = console()
    with open_client(url, api_key) as client:
        run, steps = client.get(run_id), list(client.steps(run_id, attempts=True))
    for name, value in run.model_dump(mode="json", exclude={"input", "output", "usage", "waiting"}).items():
        if value not in (None, {}):
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            terminal.print(f"{name:<12} {said}", highlight=False, markup=False)
    if run.waiting:
        terminal.print(f"{'waiting':<12} {sentence(run.waiting)}", highlight=False, markup=False)
    for name, value in (("usage", run.usage.model_dump(mode="json")), ("input", run.input), ("output", run.output)):
        terminal.print(f"{name:<12} {json.dumps(value, ensure_ascii=False)}", highlight=False, markup=False)
    table = Table("step", "kind", "name", "state", "attempts", "error", box=None)
    for step in steps:
        tries = ", ".join(attempt.outcome for attempt in step.attempts)
        table.add_row(str(step.seq), step.kind, step.name, step.status, tries, (step.error or {}).get("message", ""))
    terminal.print(table)
    main = run.model or ""
    costs = by_model(main, steps)
    if any(line.model != main for line in costs):
        terminal.print(_models(main, costs))
        usd = saved(costs)
        terminal.print(f"routing {'saved' if usd >= 0 else 'cost'} ${abs(usd):.6f}", highlight=False)


def _models(main: str, costs: "list[ModelCost]") -> "Table":
    from rich.table import Table

    table = Table("model", "calls", "input", "output", "cost", f"at {main}", box=None)
    for line in costs:
        at_main = f"${line.at_main_usd:.6f}" if line.at_main_usd else "no price"
        counts = (str(line.calls), str(line.input_tokens), str(line.output_tokens))
        table.add_row(line.model, *counts, f"${line.cost_usd:.6f}", at_main)
    return table


def sentence(waiting: "Waiting") -> str:
    """Why a run waits, and until when."""
    said = [f"{waiting.detail.rstrip('.')}.", f"Since {_clock(waiting.since)}"]
    if waiting.position is not None:
        said.append(f"number {waiting.position}{'+' if waiting.position >= MOST else ''} among those that wait for it")
    if waiting.expected_start is not None:
        said.append(f"goes on about {_clock(waiting.expected_start)}")
    if waiting.expected_finish is not None:
        half, most = waiting.expected_finish.p50, waiting.expected_finish.p90
        said.append(f"ends about {_clock(half)}, by {_clock(most)} in 9 of 10 cases")
    return f"{said[0]} {'; '.join(said[1:])}."


@runs.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--status", multiple=True, help="Runs in this state; may be repeated.")
@click.option("--agent", help="Runs of this agent that have not ended.")
@click.option("--go", is_flag=True, help="Cancel what --status and --agent find; without it they are only counted.")
@speaks_to_the_api
def cancel(
    *,
    run_ids: tuple[str, ...],
    status: tuple[str, ...],
    agent: str | None,
    go: bool,
    url: str | None,
    api_key: str | None,
) -> None:
    """End runs at once: those named, or all of your tenant's with this --status and --agent."""
    from agentfleet.client import ApiProblem

    if bool(run_ids) == bool(status or agent):
        raise click.UsageError("Give the ids of runs, or a --status or an --agent.")
    with open_client(url, api_key) as client:
        if run_ids:
            for run_id in run_ids:
                click.echo(f"{run_id} is {client.cancel(run_id).status}.")
            return
        found = [run.id for run in client.runs(status=status or OPEN, agent=agent)]
        if not go:
            click.echo(f"{len(found)} runs would be cancelled. Add --go to do it.")
            return
        ended = 0
        for run_id in found:
            try:
                client.cancel(run_id)
            except ApiProblem as problem:
                if problem.status != 409:
                    raise
                ended += 1
        click.echo(f"{len(found) - ended} runs are cancelled; {ended} had ended before.")


def _clock(moment: "datetime") -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
