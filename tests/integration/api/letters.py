"""Runs whose steps have died, and the worker that goes on with them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentfleet.domain import settlement
from agentfleet.domain.errors import EffectUnknown
from agentfleet.domain.plan import after_tool
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.dispatch import Dispatcher
from tests.factories import POOL
from tests.scripted import Bells, Script, Tools, Worker, answer, ask_for


async def letter_of(client, run: str) -> dict[str, Any]:
    letters = (await client.get("/v1/dead-letters?status=open")).json()["data"]
    return next(letter for letter in letters if letter["run_id"] == run)


@pytest.fixture
def dead_call(client, submit, hands) -> Callable[[], Awaitable[tuple[str, str]]]:
    """A run whose tool call died: its id, and its dead letter's path."""

    async def make() -> tuple[str, str]:
        run = await submit()
        await hands.call_tool(run["id"])
        claimed = await hands.claim(run["id"])
        await hands.settle(settlement.failed(claimed, EffectUnknown("look was cut off"), RetryPolicy(), jitter=0.5))
        return run["id"], f"/v1/dead-letters/{(await letter_of(client, run['id']))['id']}"

    return make


@pytest.fixture
def dead_reason(client, submit, hands) -> Callable[..., Awaitable[tuple[str, str]]]:
    """A run whose model call died, after ``turns`` of the model: its id, and its dead letter's path."""

    async def make(turns: int = 0, **more: Any) -> tuple[str, str]:
        run = await submit(**more)
        for _ in range(turns):
            await hands.call_tool(run["id"])
            await hands.settle(returned(await hands.claim(run["id"])))
        await hands.bury(run["id"])
        return run["id"], f"/v1/dead-letters/{(await letter_of(client, run['id']))['id']}"

    return make


def returned(claimed):
    """The settlement of a tool call."""
    block = json.dumps({"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"})
    return settlement.succeeded(claimed, after_tool(claimed.turn, claimed.part, block, "claude-sonnet-5-5"))


@pytest.fixture
def worker(db) -> Worker:
    """A worker whose model answers after its first tool call, if somebody rings."""
    return Worker(db, Bells(), Script([ask_for("look"), answer("done"), answer("done")]), Tools())


async def work(db, worker: Worker) -> int:
    await Dispatcher(db, worker.bells, pool=POOL, window=1000).run_once()
    return await worker.work()
