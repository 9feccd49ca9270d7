"""A run as it happens, on the terminal."""

import time
from typing import Any

from rich.console import Console

from agentfleet.client import Event, Run

MARKS = {"succeeded": "[green]✓[/]", "retrying": "[yellow]↻[/]", "snoozed": "[yellow]…[/]", "dead": "[red]✗[/]"}


class Follower:
    """Shows the events of one run on ``console``."""

    def __init__(self, console: Console, accepted: Run) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._talking = False
        self._print(f"[bold]{accepted.agent}[/] run {accepted.id}")

    def show(self, event: Event) -> None:
        """Print what ``event`` says; the model's words as they come."""
        if event.type == "delta":
            self._talking = True
            self._console.print(
                str(event.data["text"]), end="", style="dim", markup=False, highlight=False, soft_wrap=True
            )
            return
        if self._talking:
            self._console.print()
            self._talking = False
        noun, _, what = event.type.partition(".")
        if noun == "step":
            self._print(f"{MARKS.get(what, '·')} {self._step(what, event.data)}")
        elif noun == "run" and event.data:
            self._print(f"[red]{event.data.get('message', what.replace('_', ' '))}[/]")

    def sum_up(self, run: Run) -> None:
        """Print how the run ended and what it took."""
        usage, color = run.usage, "green" if run.status == "succeeded" else "red"
        self._print(
            f"[{color}]{run.status}[/] after {time.monotonic() - self._begun:.1f} s: {usage.steps} steps, "
            f"{usage.tool_calls} tool calls, {usage.input_tokens} tokens in, {usage.output_tokens} out, "
            f"${usage.cost_usd:f}"
        )
        if run.status == "needs_review":
            self._print("A step was given up on. See: agentfleet dead-letters list")

    def _step(self, what: str, data: dict[str, Any]) -> str:
        parts = [f"{data['kind']} {data['name']}"]
        if what != "succeeded":
            parts.append(f"{what.replace('_', ' ')}: {data.get('error') or data.get('blocked_on', '')}")
        if data.get("delay"):
            parts.append(f"again {'within' if what == 'snoozed' else 'in'} {data['delay']:.1f} s")
        if data.get("attempt", 1) > 1:
            parts.append(f"attempt {data['attempt']}")
        if data.get("cached"):
            parts.append("answered before")
        elif "cost_usd" in data:
            parts.append(
                f"{data.get('input_tokens', 0)} tokens in, {data.get('output_tokens', 0)} out, ${data['cost_usd']}"
            )
        return "  ".join(parts)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False)
