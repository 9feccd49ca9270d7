"""The deployment after agents_v1: another model, other instructions, a tool more and a tool less."""

from agentfleet import Agent, ToolContext, tool
from tests.acceptance.agents import note
from tests.chaos.agents_v1 import climb

MODEL = "claude-sonnet-4-5"


@tool(effect="idempotent")
async def land(ctx: ToolContext) -> str:
    """A tool that version one lacks."""
    note("land", ctx)
    return "landed"


pilot = Agent(name="pilot", model=MODEL, instructions="Fly as in version two.", tools=[climb, land])
glider = Agent(name="glider", model=MODEL, instructions="Glide no more.", tools=[land])
