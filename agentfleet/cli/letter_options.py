"""Which dead letters a command means, and how it writes moments, numbers and values."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"])

OPTIONS = (
    click.option("--fingerprint", help="Only of this kind, as `clusters` names it."),
    click.option("--verdict", help="Only with this verdict, such as backoff or unknown_effect."),
    click.option("--agent", help="Only of this agent's runs."),
    click.option("--name", help="Only of this tool, or this model."),
    click.option("--created-after", type=MOMENT, help="Only from this moment on; local time, unless it has an offset."),
    click.option("--created-before", type=MOMENT, help="Only from before this moment."),
)


def filtered(command: Command) -> Command:
    """Add the options of a filter."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def given(terms: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of ``terms``."""
    return {name: value for name, value in terms.items() if value is not None}


def value_of(text: Any, *, text_too: bool = False) -> Any:
    """JSON text as a value; what is no text already is one. ``text_too``: a text that is no JSON is itself."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        if text_too:
            return text
        raise


def when(moment: datetime) -> str:
    """In local time."""
    return moment.astimezone().strftime("%m-%d %H:%M:%S")


def number(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
