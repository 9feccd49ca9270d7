"""The processes of the fleet, and the simulator: each replaces this command."""

import os
import sys

import click

PROGRAMS = {
    "ingress": ("workers.ingress", "The HTTP API."),
    "worker": ("workers.steps", "A step worker; takes options of `celery worker`."),
    "dispatcher": ("workers.dispatcher", "The dispatcher of one pool."),
    "reconciler": ("workers.reconciler", "The reconciler: promotes, rescues, republishes, expires."),
    "batch-lane": ("workers.batches", "The batch lane: sends model calls as Message Batches, at half the price."),
    "flower": ("workers.flower", "Flower, Celery's own view of the workers; takes its options."),
    "sim": ("agentfleet.simulator", "The simulator of Claude's Messages API."),
}


def launcher(name: str) -> click.Command:
    """The command `name`, which becomes its program and passes everything on to it."""
    module, about = PROGRAMS[name]

    @click.command(
        name,
        help=about,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(*, arguments: tuple[str, ...]) -> None:
        from agentfleet.dev.environment import child_environment

        environment = child_environment({})
        os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)  # noqa: S606 - no shell

    return command
