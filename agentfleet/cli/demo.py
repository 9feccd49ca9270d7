"""`agentfleet demo`: audit everything that is installed, kill a worker half-way, and prove that nothing was lost."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentfleet.cli.dev import DATA_DIR, INTERRUPTED, PORT, WORKERS, introduce, stay

if TYPE_CHECKING:
    from agentfleet.cli.terminal import Talker
    from agentfleet.dev.stack import Stack

AGENT = "dependency-audit"
LATENCY = ("--first-token-ms", "600", "--token-ms", "8")  # of the simulator: the pace of a small model
LEASE = {"AGENTFLEET_LEASE": "6", "AGENTFLEET_HEARTBEAT": "2"}
"""The usual 30 s are right for the network; here they would only make you wait for the rescue."""


@click.command()
@PORT
@WORKERS
@DATA_DIR
@click.option("--runs", type=click.IntRange(1), help="Audit only so many distributions. [all that are installed]")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write every report to this file, as JSON."
)
@click.option("--exit", "leave", is_flag=True, help="End by itself: exit code 0 only when everything is as promised.")
@click.pass_context
def demo(
    ctx: click.Context,
    *,
    port: int | None,
    workers: int,
    data_dir: Path,
    runs: int | None,
    report: Path | None,
    leave: bool,
) -> None:
    """Audit every installed Python distribution: one agent run for each, on the whole stack.

    Half-way one worker is killed. At the end the database is asked whether a run was lost or a step settled twice.
    With ANTHROPIC_API_KEY Claude does the audit, and costs a few cents; without it a simulator answers.
    """
    from agentfleet.cli.audit.job import Audit, installed
    from agentfleet.cli.terminal import Talker, console, sigterm_is_ctrl_c
    from agentfleet.dev.programs import DEMO_AGENTS, StackOptions
    from agentfleet.dev.stack import Stack

    terminal = console()
    talker, begun = Talker(terminal), time.monotonic()
    options = StackOptions((DEMO_AGENTS,), port, workers, data_dir, LATENCY, LEASE)
    audit, interrupted = None, False
    try:
        with sigterm_is_ctrl_c(), Stack(options, talker) as stack:
            talker.say(f"The stack is up after {time.monotonic() - begun:.1f} s: {inventory(stack)}.")
            talker.say(
                f"Leases are {LEASE['AGENTFLEET_LEASE']} s for the demo (30 s by default), so that a rescue is seen.\n"
            )
            audit = Audit(stack, talker, terminal, installed()[:runs])
            audit.run()
            audit.report(report)
            if not leave:
                linger(stack, talker)
    except KeyboardInterrupt:
        interrupted = leave or audit is None or audit.evidence is None
    if audit is None or audit.evidence is None:
        talker.say("Interrupted.")
        ctx.exit(INTERRUPTED)
    click.echo(audit.last_line())
    ctx.exit(INTERRUPTED if interrupted else 0 if audit.flawless else 1)


def inventory(stack: "Stack") -> str:
    """What runs: `2 steps, ingress, ...`."""
    return ", ".join(f"{len(pids)} {kind}" if len(pids) > 1 else kind for kind, pids in stack.pids().items())


def linger(stack: "Stack", talker: "Talker") -> None:
    """Stay up, so that everything can be looked at."""
    talker.say("\nEverything stays up until Ctrl-C:")
    introduce(stack, talker)
    talker.say(f"\nTry: agentfleet run {AGENT} --input click")
    stay(stack, talker)
