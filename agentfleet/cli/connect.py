"""Which API a command speaks to: the one that is named, or the stack of `agentfleet dev` in this directory."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from agentfleet.client import Client

Command = TypeVar("Command", bound=Callable[..., Any])
DATA_DIR = Path(".agentfleet")


def speaks_to_the_api(command: Command) -> Command:
    """Add --url and --api-key."""
    url = click.option(
        "--url", envvar="AGENTFLEET_API_URL", show_envvar=True, help="The API. [that of `agentfleet dev`]"
    )
    key = click.option("--api-key", envvar="AGENTFLEET_API_KEY", show_envvar=True, help="Its key.")
    return url(key(command))


def open_client(url: str | None, api_key: str | None, *, patience: float = 1.0) -> "Client":
    """A client of the API that was named, or else of the stack that ran here last; ``patience`` in seconds.

    Raises:
        click.UsageError: half of it was named, or nothing and there was no stack.
    """
    from agentfleet.client import Client
    from agentfleet.dev.env import StackEnv

    stack = StackEnv.load(DATA_DIR)
    if url is None and stack is not None:
        url, api_key = stack.api_url, api_key or stack.api_key
    elif url is not None and api_key is None and stack is not None and stack.api_url == url.rstrip("/"):
        api_key = stack.api_key
    if url is None or api_key is None:
        missing = "--url (AGENTFLEET_API_URL)" if url is None else "--api-key (AGENTFLEET_API_KEY)"
        raise click.UsageError(f"No {missing} is given, and no `agentfleet dev` has run in this directory.")
    return Client(url, api_key, patience=patience)
