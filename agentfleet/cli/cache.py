"""`agentfleet cache`: answers that are used again. Speaks to the Redis that is set, or that of `agentfleet dev`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from agentfleet.cli.connect import DATA_DIR

if TYPE_CHECKING:
    from agentfleet.caching.shelf import Shelf

Found = TypeVar("Found")


@click.group()
def cache() -> None:
    """Answers and results that agents and tools offer to be used again."""


@cache.command()
@click.option("--agent", "agents", multiple=True, help="Answers of this agent, and results of its tools.")
@click.option("--bundle", "bundles", multiple=True, help="Answers under this bundle.")
@click.option("--tool", "tools", multiple=True, help="Results of tools of this name.")
@click.option("--tag", "tags", multiple=True, help="What has this tag.")
@click.option("--tenant", "tenants", multiple=True, help="What only this tenant's runs may use (its id).")
@click.option("--all", "everything", is_flag=True, help="Everything; it is deleted at once.")
def invalidate(*, everything: bool, **named: tuple[str, ...]) -> None:
    """Use nothing again that was asked for before now, also what is still on its way. Each option may be repeated."""
    labels = [f"{kind.removesuffix('s')}:{name}" for kind, names in named.items() for name in names]
    if everything:
        click.echo(f"{_on_shelf(lambda shelf: shelf.clear())} answers were deleted.")
    elif labels:
        _on_shelf(lambda shelf: shelf.invalidate(labels))
        click.echo(f"Nothing from before now is used again for {', '.join(labels)}.")
    else:
        raise click.UsageError("Say what: --agent, --bundle, --tool, --tag, --tenant or --all.")


@cache.command()
def stats() -> None:
    """What was kept and used again in the last 30 days, and how much is there now."""
    from rich.table import Table

    from agentfleet.cli.terminal import console

    stock = _on_shelf(lambda shelf: shelf.stock())
    table = Table("kind", "name", "kept", "used again", box=None)
    for (kind, name), counted in stock.counts.items():
        table.add_row(kind, name, str(counted.kept), str(counted.hits))
    console().print(table)
    click.echo(f"Now there are {stock.entries} answers in {stock.size:,} of {stock.cap:,} bytes.")


def _on_shelf(do: "Callable[[Shelf], Awaitable[Found]]") -> Found:
    """What ``do`` finds.

    Raises:
        click.ClickException: there is no Redis, or it does not answer.
    """
    import asyncio

    from redis.exceptions import RedisError

    from agentfleet import bootstrap
    from agentfleet.dev.env import StackEnv
    from agentfleet.settings import Settings

    settings = Settings()
    stack = StackEnv.load(DATA_DIR)
    url = settings.redis_url or (stack and stack.redis_url)
    if not url:
        raise click.UsageError(
            "AGENTFLEET_REDIS_URL is not set, as redis://host:port/0, "
            "and no `agentfleet dev` has run in this directory."
        )
    settings = settings.model_copy(update={"redis_url": url})

    async def doing() -> Found:
        async with bootstrap.redis_client(settings) as redis:
            return await do(bootstrap.answer_shelf(settings, redis))

    try:
        return asyncio.run(doing())
    except (RedisError, OSError) as error:
        raise click.ClickException(f"Redis does not answer: {error}") from error
