"""The agents of the soak. Their tools act on an outside world, a directory, and note each call in the history.

The world keeps its side of an idempotency key: an effect that it has seen is not repeated. What the checker wants to
know is whether a call ever comes under a second key, and whether an unsafe call ever comes a second time.
"""

import asyncio
import json
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentfleet import Agent, ToolContext, tool
from agentfleet.domain.budget import Budget

HERE = Path(os.environ.get("AGENTFLEET_SOAK_DIRECTORY", "."))
USUAL, SLOW = 0.4, 4.0
"""Seconds that an effect takes at most; one in ten takes longer than a lease, as some do: its worker may become a zombie
that reports while its successor is at work.
"""


def _note(type_: str, name: str, effect: str, ctx: ToolContext, **more: Any) -> None:
    call = {"run": ctx.run_id, "step": ctx.step_id, "call": ctx.call_id, "attempt": ctx.attempt, "key": ctx.effect_key}
    value = {**call, "tool": name, "effect": effect, "pid": os.getpid(), **more}
    op = {"process": f"tool-{os.getpid()}", "type": type_, "f": "effect", "value": value, "time": time.time()}
    with (HERE / "effects.jsonl").open("a") as file:
        file.write(f"{json.dumps(op)}\n")


def _apply(ctx: ToolContext) -> bool:
    """Whether the world did not know this effect yet."""
    with suppress(FileExistsError):
        (HERE / "world" / ctx.effect_key.replace(":", "-")).touch(exist_ok=False)
        return True
    return False


def _pause(ctx: ToolContext) -> float:
    """Before the effect, and again after it."""
    drawn = zlib.crc32(ctx.effect_key.encode()) % 100
    return (SLOW if drawn < 10 else USUAL * drawn / 100) / 2


async def _act(name: str, effect: str, ctx: ToolContext) -> str:
    _note("invoke", name, effect, ctx)
    await asyncio.sleep(_pause(ctx))
    applied = _apply(ctx)
    await asyncio.sleep(_pause(ctx))
    _note("ok", name, effect, ctx, applied=applied)
    return f"{name} {'done' if applied else 'was done before'}"


@tool(effect="idempotent")
async def book_flight(ctx: ToolContext) -> str:
    """Book a flight."""
    return await _act("book_flight", "idempotent", ctx)


@tool(effect="idempotent")
async def book_hotel(ctx: ToolContext) -> str:
    """Book a hotel."""
    return await _act("book_hotel", "idempotent", ctx)


@tool(effect="idempotent")
def file_report(ctx: ToolContext) -> str:
    """File a report, in a thread."""
    return asyncio.run(_act("file_report", "idempotent", ctx))


@tool(effect="unsafe")
async def charge_card(ctx: ToolContext) -> str:
    """Charge a card, which must not happen twice."""
    return await _act("charge_card", "unsafe", ctx)


def _agent(name: str, *tools: object) -> Agent:
    text, budget = "Use every tool once.", Budget(max_steps=40)
    return Agent(name=name, model="claude-haiku-4-5", instructions=text, tools=tools, budget=budget)  # pyright: ignore[reportArgumentType]


talker = _agent("talker")
traveller = _agent("traveller", book_flight, book_hotel, file_report)
payer = _agent("payer", charge_card, book_hotel)

NAMES = ("talker", "traveller", "traveller", "payer")
"""What clients ask for, as often as they do."""
