"""Run Claude agents as durable background work: one Celery task and one row of progress per step."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentfleet.agents import Agent, Reuse, ToolContext, tool
    from agentfleet.domain.budget import Budget
    from agentfleet.domain.errors import ToolRetry
    from agentfleet.domain.routing import Route

__all__ = ["Agent", "Budget", "Reuse", "Route", "ToolContext", "ToolRetry", "tool"]

_HOMES = {
    "Agent": "agentfleet.agents",
    "Budget": "agentfleet.domain.budget",
    "Reuse": "agentfleet.agents",
    "Route": "agentfleet.domain.routing",
    "ToolContext": "agentfleet.agents",
    "ToolRetry": "agentfleet.domain.errors",
    "tool": "agentfleet.agents",
}


def __getattr__(name: str) -> Any:
    """Fetch a public name at its first use: the command line and the simulator need none, and should start at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
