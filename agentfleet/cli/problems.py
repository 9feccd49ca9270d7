"""Errors that are nobody's bug, in words: what is wrong and what to do."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def explained(error: Exception) -> str | None:
    """What to tell about `error`; `None` when it is a bug and deserves its traceback."""
    from pydantic import ValidationError

    from agentfleet.client.errors import ClientError, Unreachable
    from agentfleet.dev.errors import EmbeddedError, StackFailed
    from agentfleet.domain.errors import AgentFleetError

    match error:
        case ValidationError() if error.title == "Settings":
            return "\n  ".join(["The settings are not valid:", *invalid_settings(error)])
        case Unreachable():
            return f"{error}\nIs it running? `agentfleet dev` starts one."
        case AgentFleetError() | ClientError() | EmbeddedError() | StackFailed():
            return str(error)
        case UnicodeEncodeError() if any("\udc80" <= letter <= "\udcff" for letter in str(error.object)):
            return f"An argument is not UTF-8: {error.object!a}"  # how Python keeps bytes that are no text
        case _:
            return None


def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """``sys.excepthook`` of every process: a line about a setting that is not valid, a traceback for anything else."""
    from pydantic import ValidationError

    from agentfleet.domain.errors import InvalidInput

    match error:
        case ValidationError() if error.title == "Settings":
            sys.stderr.write(f"The settings are not valid: {'; '.join(invalid_settings(error))}\n")
        case InvalidInput():
            sys.stderr.write(f"The settings are not valid: {error}\n")
        case _:
            sys.__excepthook__(kind, error, trace)


def invalid_settings(error: "ValidationError") -> list[str]:
    """Which settings are not valid, and why."""
    return [
        f"{_variable(problem['loc'])}{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False)
    ]


def _variable(place: tuple[int | str, ...]) -> str:
    return f"AGENTFLEET_{str(place[0]).upper()}: " if place else ""
