"""Which database a command works on: the one that is set, or that of the `agentfleet dev` in this directory."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from agentfleet.cli.connect import DATA_DIR

if TYPE_CHECKING:
    from agentfleet.settings import Settings
    from agentfleet.store.database import Database

Found = TypeVar("Found")


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


def in_database(ask: "Callable[[Database], Awaitable[Found]]") -> Found:
    """What ``ask`` finds in the database that is set, or in that of the stack here, with the fleet's role."""
    import asyncio

    from agentfleet import bootstrap
    from agentfleet.settings import Settings
    from agentfleet.store.database import FLEET_ROLE

    settings = Settings()
    settings = settings.model_copy(update={"database_url": database_url(settings), "pool_size": 1})

    async def asking() -> Found:
        db = bootstrap.database(settings, FLEET_ROLE, "cli")
        try:
            await db.open()
            return await ask(db)
        finally:
            await db.close()

    return asyncio.run(asking())
