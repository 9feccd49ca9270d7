"""Agents whose tools kill their workers, or wait to be killed in one. See ``tests.acceptance.agents``."""

import ctypes
import os
import signal

from agentfleet import ToolContext, tool
from tests.acceptance.agents import agent, charge, first, hold, note, note_a, note_b, opened


def segmentation_fault() -> None:
    ctypes.string_at(0)


def out_of_memory() -> None:
    """What the kernel does then; it asks nobody."""
    os.kill(os.getpid(), signal.SIGKILL)


@tool(effect="idempotent")
async def segfault(ctx: ToolContext) -> str:
    """Read where nobody may, every time."""
    note("segfault", ctx)
    segmentation_fault()
    return "impossible"


@tool(effect="idempotent")
async def segfault_once(ctx: ToolContext) -> str:
    """Read where nobody may, the first time."""
    note("segfault_once", ctx)
    if first(f"segfault-{ctx.run_id}"):
        segmentation_fault()
    return "alive"


@tool(effect="idempotent")
def exhaust_once(ctx: ToolContext) -> str:
    """Use up all memory, the first time; in a thread."""
    note("exhaust_once", ctx)
    if first(f"exhaust-{ctx.run_id}"):
        out_of_memory()
    return "alive"


def order(ctx: ToolContext) -> None:
    """A service that knows effect keys: it does once what is asked for under one key."""
    if first(f"order-{ctx.effect_key.replace(':', '-')}"):
        note("order", ctx)


@tool(effect="idempotent", timeout=600)
async def book(ctx: ToolContext) -> str:
    """Order something, before or after a long wait."""
    early = int(ctx.run_id[-1], 16) % 2 == 0
    if early:
        order(ctx)
    note("book", ctx)
    await opened("open")
    order(ctx)
    return "booked"


__all__ = ["charge", "hold", "note_a", "note_b"]

chat = agent("chat")
notes = agent("notes", note_a, note_b)
holder = agent("holder", hold)
charger = agent("charger", charge)
booker = agent("booker", book)
poisoner = agent("poisoner", segfault, note_a)
segfaulter = agent("segfaulter", segfault_once)
exhauster = agent("exhauster", exhaust_once)
