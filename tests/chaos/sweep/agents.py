"""The agent of the sweep: a step of every kind, one after the other. The test tells its tools what to do by files."""

import asyncio
import os
from pathlib import Path

from agentfleet import Agent, ToolContext, tool
from agentfleet.domain.errors import ToolRetry

HERE = Path(os.environ.get("AGENTFLEET_TEST_DIRECTORY", "."))
LOOK_EVERY = 0.02
SCRIPT = {
    "name": "sweep",
    "turns": [
        {"blocks": [{"type": "tool_use", "name": "note"}]},
        {"blocks": [{"type": "tool_use", "name": "charge"}]},
        {"blocks": ["Done."]},
    ],
}
"""What the simulator says: five steps, of which the first, second, fourth and fifth are each of another kind."""


async def obey(name: str, ctx: ToolContext) -> None:
    """Ask to be tried again if ``retry-NAME`` is there; leave a line; while ``hold-NAME`` is there, wait."""
    retry, hold = HERE / f"retry-{name}", HERE / f"hold-{name}"
    if retry.exists():
        retry.unlink()
        raise ToolRetry(after=0.01)
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{name} {ctx.run_id} {ctx.effect_key}\n")
    while hold.exists():  # noqa: ASYNC110  # by the test
        await asyncio.sleep(LOOK_EVERY)


@tool(effect="idempotent", timeout=600)
async def note(ctx: ToolContext) -> str:
    """Take a note, once or twice: it stays the same."""
    await obey("note", ctx)
    return "noted"


@tool(effect="unsafe", timeout=600)
async def charge(ctx: ToolContext) -> str:
    """Charge a card, which must not happen twice."""
    await obey("charge", ctx)
    return "charged"


sweep = Agent(name="sweep", model="claude-haiku-4-5", instructions="sim-script:sweep", tools=[note, charge])


@tool(effect="read")
async def dump_some() -> str:
    """Answer with 2 MiB."""
    return "x" * (2 << 20)


@tool(effect="read")
async def dump_much() -> list[str]:
    """Answer with 50 MiB."""
    return ["y" * 1023] * (50 << 10)


dumper = Agent(
    name="dumper", model="claude-haiku-4-5", instructions="Use every tool once.", tools=[dump_some, dump_much]
)
