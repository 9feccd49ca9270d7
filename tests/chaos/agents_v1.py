"""A deployment, of which agents_v2 is the next one and agents_bad one that should not have been."""

from agentfleet import Agent, ToolContext, tool
from tests.acceptance.agents import note, opened

MODEL = "claude-haiku-4-5"


@tool(effect="idempotent", timeout=600)
async def climb(ctx: ToolContext) -> str:
    """Wait until the test opens the gate."""
    note("climb", ctx)
    await opened("open")
    return "climbed"


@tool(effect="idempotent", timeout=600)
async def glide(ctx: ToolContext) -> str:
    """The same, in a tool that other versions lack."""
    note("glide", ctx)
    await opened("open")
    return "glided"


@tool(effect="idempotent", timeout=600)
async def dive(ctx: ToolContext) -> str:
    """The same, in a tool that the bad version cannot do."""
    note("dive", ctx)
    await opened("open")
    return "dived"


pilot = Agent(name="pilot", model=MODEL, instructions="Fly as in version one.", tools=[climb])
glider = Agent(name="glider", model=MODEL, instructions="Glide.", tools=[glide], max_attempts=2)
diver = Agent(name="diver", model=MODEL, instructions="Dive.", tools=[dive], max_attempts=2)
