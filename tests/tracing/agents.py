"""Agents of these tests. The simulator's default brain calls each tool once, all of them at once, and answers."""

from collections.abc import Awaitable, Callable

from opentelemetry import trace

from agentfleet import Agent, ToolContext, tool
from agentfleet.domain.errors import ToolRetry

MODEL = "claude-haiku-4-5"
CANARY = "canary-9f81c2d4-in-tool"
seen: list[tuple[str, str | None]] = []
"""Of each call: the tool, the trace context that its context told."""
here: list[tuple[str, str]] = []
"""Of each call of ``count``: trace id and span id of the current span, as OpenTelemetry says it."""

losing: list[Callable[[str], Awaitable[None]]] = []
"""What happens in ``lose``."""


@tool(effect="read")
async def look(ctx: ToolContext, place: str) -> str:
    """Look at one place."""
    seen.append(("look", ctx.traceparent))
    return f"{place} {CANARY}"


@tool(effect="read")
def count(ctx: ToolContext) -> str:
    """Count, in a thread, with a library that makes spans of its own."""
    at = trace.get_current_span().get_span_context()
    here.append((f"{at.trace_id:032x}", f"{at.span_id:016x}"))
    seen.append(("count", ctx.traceparent))
    with trace.get_tracer("library").start_as_current_span("GET elsewhere"):
        return "3"


@tool(effect="idempotent")
async def break_down(ctx: ToolContext) -> str:
    """Raise what the model may read."""
    raise ValueError(f"broken {CANARY} {ctx.effect_key}")


@tool(effect="idempotent")
async def try_again(ctx: ToolContext) -> str:
    """Ask for a second attempt."""
    if ctx.attempt == 1:
        raise ToolRetry(f"not yet {CANARY}", after=0.01)
    return "now"


@tool(effect="read", cache=60)
async def recall() -> str:
    """Answer what was answered before."""
    return "known"


@tool(effect="idempotent")
async def lose(ctx: ToolContext) -> str:
    """Lose the step to another worker meanwhile."""
    await losing[0](ctx.step_id)
    return "too late"


helper = Agent(name="helper", model=MODEL, instructions=f"Help. {CANARY}", tools=[look, count])
clumsy = Agent(name="clumsy", model=MODEL, instructions="Help.", tools=[break_down])
patient = Agent(name="patient", model=MODEL, instructions="Help.", tools=[try_again])
knower = Agent(name="knower", model=MODEL, instructions="Help.", tools=[recall])
loser = Agent(name="loser", model=MODEL, instructions="Help.", tools=[lose])
