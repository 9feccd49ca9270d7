"""`agentfleet`: the list of its commands, and what they say when something is wrong."""

from typing import Any

import click

from agentfleet.cli.accounts import accounts
from agentfleet.cli.alerts import alerts
from agentfleet.cli.batches import batches
from agentfleet.cli.budgets import budgets
from agentfleet.cli.cache import cache
from agentfleet.cli.capacity import capacity
from agentfleet.cli.dead_letters import dead_letters
from agentfleet.cli.demo import demo
from agentfleet.cli.dev import dev
from agentfleet.cli.doctor import doctor
from agentfleet.cli.keys import keys
from agentfleet.cli.launch import PROGRAMS, launcher
from agentfleet.cli.migrate import migrate
from agentfleet.cli.problems import explained
from agentfleet.cli.retention import retention
from agentfleet.cli.run import run
from agentfleet.cli.runs import runs
from agentfleet.cli.tenants import tenants
from agentfleet.cli.usage import usage
from agentfleet.cli.version import version


class Commands(click.Group):
    """Commands in the order in which they were added; a known error ends with its message, not with a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In our order."""
        del ctx
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if (text := explained(error)) is None:
                raise
            raise click.ClickException(text) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Run Claude agents as durable background work."""


COMMANDS = (
    *(
        demo,
        dev,
        run,
        runs,
        dead_letters,
        usage,
        budgets,
        tenants,
        alerts,
        batches,
        retention,
        cache,
        accounts,
        capacity,
        doctor,
        keys,
        migrate,
    ),
    *map(launcher, PROGRAMS),
    version,
)
for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main()
