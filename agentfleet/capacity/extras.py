"""The libraries of the extra ``capacity``, imported when they are needed."""

from importlib import import_module
from types import ModuleType

from agentfleet.domain.errors import InvalidInput


def library(name: str) -> ModuleType:
    """The library. Raises ``InvalidInput`` that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput("agentfleet capacity", f"needs {name}: pip install 'agentfleet[capacity]'") from error
