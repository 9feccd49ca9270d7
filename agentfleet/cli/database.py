"""Which database a command works on: the one that is set, or that of the `agentfleet dev` in this directory."""

from typing import TYPE_CHECKING

import click

from agentfleet.cli.connect import DATA_DIR

if TYPE_CHECKING:
    from agentfleet.settings import Settings


def database_url(settings: "Settings") -> str:
    """The URL.

    Raises:
        click.UsageError: there is none.
    """
    from agentfleet.dev.env import StackEnv

    stack = StackEnv.load(DATA_DIR)
    url = settings.database_url or (stack and stack.database_url)
    if not url:
        raise click.UsageError(
            "AGENTFLEET_DATABASE_URL is not set, as postgresql://user:password@host/db, "
            "and no `agentfleet dev` has run in this directory."
        )
    return url
