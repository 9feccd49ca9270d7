"""What users write with: agents, tools and what a tool is told about its call. And what turns them into steps."""

from agentfleet.agents.agent import Agent
from agentfleet.agents.context import ToolContext
from agentfleet.agents.tool import Tool, tool
from agentfleet.caching.reuse import Reuse

__all__ = ["Agent", "Reuse", "Tool", "ToolContext", "tool"]
