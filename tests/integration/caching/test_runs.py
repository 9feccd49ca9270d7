"""Runs whose answers were given before: what is on record, and what still happens."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from agentfleet import Agent, Reuse, ToolContext, tool
from agentfleet.agents.bundle import bundle_of
from agentfleet.agents.cached import CachedToolbox
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.caching.answers import CachingReasoner
from agentfleet.caching.shelf import Shelf
from agentfleet.store.database import Database
from tests.factories import MODEL, Tally, save_bundle, submit, tally
from tests.scripted import Bells, Script, Worker, answer, ask_for

paid: list[str] = []
looks: list[str] = []


@tool(effect="read", cache=60)
async def look() -> str:
    """Look."""
    looks.append("look")
    return "empty"


@tool(effect="unsafe")
async def pay(ctx: ToolContext) -> str:
    """Pay."""
    paid.append(ctx.effect_key)
    return "paid"


SHOP = Agent(name="shop", model=MODEL, tools=[look, pay], cache_answers=Reuse(ttl=timedelta(hours=1)))


@pytest.fixture
def model() -> Script:
    return Script([ask_for("look", "pay"), answer()])


@pytest.fixture
def worker(db: Database, redis: Redis, model: Script) -> Iterator[Worker]:
    paid.clear()
    looks.clear()
    registry, shelf = Registry([SHOP]), Shelf(redis, prefix="test", patience=20, cap=1_000_000)
    with ThreadPoolExecutor(1) as threads:
        tools = CachedToolbox(AgentToolbox(registry, threads), registry, shelf, release="1")
        caching: Any = CachingReasoner(model, shelf, tools.rules)
        yield Worker(db, Bells(), caching, tools)  # pyright: ignore[reportArgumentType]


async def run(db: Database, worker: Worker, **changes: Any) -> Tally:
    bundle = await save_bundle(db, bundle_of(SHOP))
    accepted = await submit(db, agent=SHOP.name, bundle_id=bundle.id, **changes)
    assert await worker.execute(accepted.step_id) == "succeed"
    await worker.work()
    done = await tally(db, accepted.run_id)
    assert done.run.state == "succeeded"
    return done


def cached(done: Tally) -> list[bool]:
    """Of each step that succeeded, in order, whether its event says that it was given before."""
    said = [json.loads(event.data) for event in done.events if event.type == "step.succeeded"]
    return [one.get("cached", False) for one in sorted(said, key=lambda one: one["seq"])]


async def test_a_run_of_hits_costs_nothing_and_every_record_says_why(db: Database, worker: Worker, model: Script):
    first, second = await run(db, worker), await run(db, worker)
    assert len(model.calls) == 2
    assert (cached(first), cached(second)) == ([False] * 4, [True, True, False, True])
    assert first.run.cost_usd > 0
    assert (second.run.cost_usd, second.run.input_tokens, second.run.output) == (0, 0, first.run.output)
    usages = [attempt.usage for attempt in second.attempts]
    raw = [json.loads(usage) if isinstance(usage, str) else usage for usage in usages if usage]
    assert [one["agentfleet"]["cache"] for one in raw] == ["hit"] * 3
    assert sum("saved_usd" in one["agentfleet"] for one in raw) == 2
    assert [m.content for m in second.messages] == [m.content for m in first.messages]


async def test_a_reused_turn_still_pays_once_per_run_under_its_own_key(db: Database, worker: Worker):
    runs = [await run(db, worker) for _ in range(3)]
    assert len(looks) == 1
    assert len(set(paid)) == 3
    assert [key.split(":")[0] for key in paid] == [str(one.run.id) for one in runs]


async def test_a_run_of_another_tenant_asks_for_itself(db: Database, worker: Worker, model: Script):
    await run(db, worker)
    other = await run(db, worker, content='[{"type":"text","text":"Go on."}]')
    assert cached(other) == [False, True, False, False]  # the tool was asked the same
    bundle = bundle_of(SHOP)
    accepted = await submit(db, "globex", agent=SHOP.name, bundle_id=bundle.id)
    await worker.execute(accepted.step_id)
    await worker.work()
    assert cached(await tally(db, accepted.run_id)) == [False] * 4
    assert len(looks) == 2
