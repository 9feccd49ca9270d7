"""How commands speak: lines that stay, one line that changes, and an end by Ctrl-C or SIGTERM."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console

    from agentfleet.dev.stack import Stack

LOOK = 0.2
"""Seconds between two looks at whether everything still runs."""


class Talker:
    """Tells what a stack does. On a terminal the line of `progress` changes in place; elsewhere it is left out."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._status = console.status("")
        self._shown = False

    def say(self, line: str) -> None:
        """Print `line`."""
        self._console.print(line, highlight=False, markup=False)

    def progress(self, line: str) -> None:
        """Show `line` while it is true; empty: nothing."""
        if not self._console.is_terminal:
            return
        if line:
            self._status.update(line)
        if bool(line) != self._shown:
            self._shown = bool(line)
            (self._status.start if line else self._status.stop)()


def tend(stack: "Stack", talker: Talker) -> None:
    """One look at whether everything still runs; say so when something had to be started again."""
    for restart in stack.tend():
        talker.say(f"{restart.name} {restart.how}: started again as process {restart.pid}.")


def console(*, stderr: bool = False) -> "Console":
    """The terminal; what is piped is never wrapped."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=200)


@contextmanager
def sigterm_is_ctrl_c() -> Generator[None]:
    """SIGTERM raises KeyboardInterrupt too, inside the `with` block."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
