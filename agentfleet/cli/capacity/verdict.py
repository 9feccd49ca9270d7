"""How a simulation is told: a table of the gates, and one JSON line."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentfleet.capacity.scenarios import Scenario
    from agentfleet.capacity.simulate import Outcome


def show(scenario: "Scenario", outcomes: "dict[str, Outcome]") -> None:
    """Print the gates with the figures of every scaler, ours first, and what else is worth knowing."""
    from rich.table import Table

    from agentfleet.capacity.gates import GATES
    from agentfleet.cli.terminal import console

    terminal = console()
    first = next(iter(outcomes.values())).figures
    terminal.print(
        f"{scenario.name}: {scenario.about}. {first.steps:,} steps in {scenario.duration / 60:g} minutes.",
        highlight=False,
    )
    if scenario.limits:
        calls, axis = scenario.limits.calls_a_second, scenario.limits.scarcest
        terminal.print(f"The provider answers {calls:.3g} calls a second at most: {axis} bind.", highlight=False)
    table = Table("gate", "at most", *outcomes, box=None)
    for gate in GATES.values():
        cells = [
            f"{gate.figure(outcome.figures):.4g}{gate.unit} {'ok' if gate.holds(outcome.figures) else 'FAILS'}"
            for outcome in outcomes.values()
        ]
        table.add_row(gate.about, f"{gate.most:g}{gate.unit}", *cells)
    for about, field, form in (
        ("calls refused (429)", "refused_429", ",.0f"),
        ("the oldest ready step", "oldest_ready_s", ".1f"),
        ("steps done", "done", ",.0f"),
        ("most pods", "most_pods", ".0f"),
        ("pods, US dollars per hour", "cost_per_hour", ".3f"),
    ):
        table.add_row(about, "", *(format(getattr(outcome.figures, field), form) for outcome in outcomes.values()))
    terminal.print(table)


def as_document(scenario: "Scenario", seed: int, outcomes: "dict[str, Outcome]") -> str:
    """One line: the scenario, the figures of the first scaler and its verdicts, and those of the others by name."""
    from agentfleet.capacity.gates import verdicts

    (_, ours), *others = outcomes.items()
    return json.dumps(
        {
            "scenario": scenario.name,
            "seed": seed,
            "duration_s": scenario.duration,
            **_figures(ours),
            "gates": verdicts(ours.figures),
            "compared": {name: {**_figures(outcome), "gates": verdicts(outcome.figures)} for name, outcome in others},
        }
    )


def _figures(outcome: "Outcome") -> dict[str, float | int]:
    from dataclasses import asdict

    where = {"ready": outcome.ready, "running": outcome.running, "waiting_for_provider": outcome.waiting}
    return {name: round(value, 4) for name, value in {**asdict(outcome.figures), **where}.items()}
