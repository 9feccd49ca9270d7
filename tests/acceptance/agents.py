"""Agents whose tools wait, note, raise and die as a test says. They and the test meet in a directory:
``AGENTFLEET_TEST_DIRECTORY``. The simulator's default brain calls each tool once, all of them at once, and answers.
"""

import asyncio
import os
import time
from pathlib import Path

from agentfleet import Agent, ToolContext, tool
from agentfleet.domain.budget import Budget

HERE = Path(os.environ.get("AGENTFLEET_TEST_DIRECTORY", "."))
LOOK_EVERY = 0.02
MODEL = "claude-haiku-4-5"


def first(name: str) -> bool:
    """Whether nobody was here before under this name."""
    try:
        (HERE / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note(tool_name: str, ctx: ToolContext) -> None:
    """Leave a line that the test can read."""
    line = f"{tool_name} {ctx.run_id} {ctx.effect_key} {ctx.attempt} {os.getpid()}\n"
    with (HERE / "calls").open("a") as calls:
        calls.write(line)


async def opened(gate: str) -> None:
    """Wait until a gate is open, for everyone or for this process."""
    while not any((HERE / name).exists() for name in (gate, f"{gate}-{os.getpid()}")):  # noqa: ASYNC110  # by the test
        await asyncio.sleep(LOOK_EVERY)


@tool(effect="idempotent")
async def note_a(ctx: ToolContext) -> str:
    """Note that it was called."""
    note("note_a", ctx)
    ctx.log.info("noted")
    return "a"


@tool(effect="read")
def note_b(ctx: ToolContext) -> str:
    """Note that it was called, in a thread."""
    note("note_b", ctx)
    return "b"


@tool(effect="idempotent", timeout=600)
async def hold(ctx: ToolContext) -> str:
    """Wait until the test opens the gate."""
    note("hold", ctx)
    await opened("open")
    return "held"


@tool(effect="idempotent", timeout=600)
async def hold_short(ctx: ToolContext) -> str:
    """Wait until the test opens another gate."""
    note("hold_short", ctx)
    await opened("open-short")
    return "held"


@tool(effect="idempotent", timeout=600)
def block(ctx: ToolContext) -> str:
    """Wait for the gate in a thread, which nobody can stop."""
    note("block", ctx)
    while not (HERE / "open").exists():
        time.sleep(LOOK_EVERY)
    return "blocked"


@tool(effect="unsafe", timeout=600)
async def charge(ctx: ToolContext) -> str:
    """Charge a card, which must not happen twice."""
    note("charge", ctx)
    await opened("open")
    return "charged"


@tool(effect="idempotent")
async def break_loop(ctx: ToolContext) -> str:
    """End the worker's event loop, the first time."""
    note("break_loop", ctx)
    if first("broke"):
        asyncio.get_running_loop().call_soon(_exit)
        await opened("open")
    return "whole"


def _exit() -> None:
    raise SystemExit(3)


class _Crowd:
    """One look at the gate for everyone who waits."""

    waiting: "asyncio.Task[None] | None" = None


@tool(effect="idempotent", timeout=600)
async def work(n: int) -> str:
    """Wait in a crowd until the test opens the gate."""
    if _Crowd.waiting is None:
        _Crowd.waiting = asyncio.create_task(opened("open"))
    await asyncio.shield(_Crowd.waiting)
    return f"{n}"


@tool(effect="read")
async def fail(ctx: ToolContext) -> str:
    """Raise, with a secret in the message."""
    database_url, key = os.environ["AGENTFLEET_DATABASE_URL"], os.environ["ANTHROPIC_API_KEY"]
    raise RuntimeError(f"no luck with {database_url} and {key}")


def agent(name: str, *tools: object) -> Agent:
    return Agent(name=name, model=MODEL, instructions="Use every tool once.", tools=tools, budget=Budget(max_steps=40))  # pyright: ignore[reportArgumentType]


chat = agent("chat")
notes = agent("notes", note_a, note_b)
holder = agent("holder", hold)
short_holder = agent("short_holder", hold_short)
blocker = agent("blocker", block)
charger = agent("charger", charge)
breaker = agent("breaker", break_loop)
crowd = agent("crowd", work)
failer = agent("failer", fail)
