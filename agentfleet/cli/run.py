"""`agentfleet run`: submit one run and follow it to its end."""

import json
import sys
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from agentfleet.cli.connect import open_client, speaks_to_the_api

if TYPE_CHECKING:
    from agentfleet.client import Run

INTERRUPTED = 130
PATIENCE = 30.0
"""Seconds for which the API may be away before we give up: a run lives longer than an ingress."""


@click.command()
@click.argument("agent")
@click.option("--input", "given", required=True, help="A text, or a JSON object; - reads it from standard input.")
@click.option("--key", help="Idempotency key: the same key and input make one run, however often it is submitted.")
@click.option("--deadline", help="When the run expires, from now: seconds, or a text like 90m, 6h, 1d12h.")
@click.option(
    "--lane",
    type=click.Choice(["batch", "direct"]),
    help="batch: wait for Message Batches, at half the price, as far as the deadline allows. Default: by the deadline.",
)
@click.option("--quiet", is_flag=True, help="Print the output and nothing else.")
@speaks_to_the_api
@click.pass_context
def run(  # noqa: PLR0913  # options
    ctx: click.Context,
    *,
    agent: str,
    given: str,
    key: str | None,
    deadline: str | None,
    lane: Literal["batch", "direct"] | None,
    quiet: bool,
    url: str | None,
    api_key: str | None,
) -> None:
    """Submit a run of AGENT and follow it: the model's words, the steps as they settle, the cost.

    The output goes to standard output, the rest to standard error. Exit code 0 only when the run succeeded.
    """
    from agentfleet.cli.follow import Follower
    from agentfleet.cli.terminal import console

    terminal = console(stderr=True)
    terminal.quiet = quiet
    with open_client(url, api_key) as client:  # an API that is not there is told at once
        accepted = client.submit(agent, read_input(given), key=key, deadline=read_deadline(deadline), lane=lane)
    with open_client(url, api_key, patience=PATIENCE) as client:
        follower = Follower(terminal, accepted)
        try:
            for event in client.events(accepted.id):
                follower.show(event)
                if event.type == "run.needs_review":
                    break
        except KeyboardInterrupt:
            terminal.print(f"\nThe run goes on. To end it: agentfleet runs cancel {accepted.id}", highlight=False)
            ctx.exit(INTERRUPTED)
        ended = client.get(accepted.id)
    follower.sum_up(ended)
    print_output(ended)
    ctx.exit(0 if ended.status == "succeeded" else 1)


def read_deadline(given: str | None) -> float | str | None:
    """Seconds if it is a number; otherwise the API says whether it is a duration."""
    try:
        return None if given is None else float(given)
    except ValueError:
        return given


def read_input(given: str) -> Any:
    """What is submitted: an object if it is one, otherwise the text."""
    text = sys.stdin.read() if given == "-" else given
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return cast("dict[str, Any]", value) if isinstance(value, dict) else text


def print_output(ended: "Run") -> None:
    """The output of a run that succeeded: a text as it is, an object as JSON."""
    if ended.status == "succeeded":
        text = ended.output if isinstance(ended.output, str) else json.dumps(ended.output, indent=2, ensure_ascii=False)
        click.echo(text)
