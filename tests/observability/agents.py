"""An agent that does a little of everything that is measured; the simulator's brain calls each tool once."""

from agentfleet import Agent, Budget, tool


@tool(effect="read", cache=600)
def opening_hours(day: str) -> str:
    """When the shop is open on a day."""
    return f"On {day}: nine to five."


@tool(effect="idempotent")
async def note(text: str) -> str:
    """Write something down."""
    return f"noted {text}"


clerk = Agent(
    name="clerk",
    model="claude-haiku-4-5",
    instructions="Answer questions about the shop.",
    tools=[opening_hours, note],
    budget=Budget(max_steps=20),
)
