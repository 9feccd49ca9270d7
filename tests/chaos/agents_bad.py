"""A deployment that nobody tried: one tool raises, one wants to be called again for ever, one is missing."""

from agentfleet import Agent, ToolContext, ToolRetry, tool

MODEL = "claude-haiku-4-5"


@tool(effect="idempotent")
async def climb(ctx: ToolContext) -> str:
    """Raise."""
    raise AttributeError(f"{ctx.agent} has no wings")


@tool(effect="idempotent")
async def dive(ctx: ToolContext) -> str:
    """Ask for another try."""
    raise ToolRetry(f"{ctx.agent} cannot swim")


pilot = Agent(name="pilot", model=MODEL, instructions="Fly.", tools=[climb])
glider = Agent(name="glider", model=MODEL, instructions="Glide.")
diver = Agent(name="diver", model=MODEL, instructions="Dive.", tools=[dive], max_attempts=2)
