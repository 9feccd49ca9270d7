"""Results of tools that are used again, over a real Redis."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from agentfleet import Agent, Reuse, ToolContext, tool
from agentfleet.agents.cached import CachedToolbox
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.caching.shelf import Shelf
from agentfleet.domain.errors import ToolRetry
from tests.unit.agents.test_toolbox import claimed

LOOK = claimed("look")
Make = Callable[..., CachedToolbox]
calls: list[str] = []


@tool(effect="read", cache=60)
async def look(place: str, far: bool = False) -> str:
    """Look at a place."""
    calls.append(place)
    await asyncio.sleep(0)
    if place == "nowhere":
        raise LookupError(place)
    if place == "later":
        raise ToolRetry(after=1)
    return f"{place} {len(calls)}"


@tool(effect="read", cache=Reuse(ttl=timedelta(minutes=1), tags=["prices"], scope="all"))
async def price(ctx: ToolContext, item: str) -> str:
    """Look a price up."""
    calls.append(item)
    return f"{item} {ctx.metadata.get('currency')} {len(calls)}"


@tool(effect="read")
async def watch(place: str) -> str:
    """Watch a place."""
    calls.append(place)
    return f"{place} {len(calls)}"


@pytest.fixture
def make(redis: Redis) -> Iterator[Make]:
    """Makes the toolbox of one process."""
    calls.clear()
    with ThreadPoolExecutor(1) as threads:

        def made(release: str = "1") -> CachedToolbox:
            agents = [Agent(name=name, model="m", tools=[look, price, watch]) for name in ("helper", "other")]
            registry = Registry(agents)
            shelf = Shelf(redis, prefix="test", patience=20, cap=1_000_000)
            return CachedToolbox(AgentToolbox(registry, threads), registry, shelf, release=release)

        yield made


async def call(toolbox: CachedToolbox, step: Any = LOOK, **arguments: Any) -> tuple[str, bool]:
    result = await toolbox.call(step, "call_1", arguments)
    return result.content, result.cached


async def test_the_same_call_is_made_once_in_all_processes(make: Make):
    boxes = [make() for _ in range(4)]
    results = await asyncio.gather(*(call(box, place="x") for box in boxes for _ in range(20)))
    assert {text for text, _ in results} == {"x 1"}
    assert calls == ["x"]
    assert sum(not cached for _, cached in results) == 1


async def test_another_call_is_made(make: Make):
    await call(make(), place="x")
    others = [
        (make(), LOOK, {"place": "y"}),
        (make(), LOOK, {"place": "x", "far": True}),
        (make("2"), LOOK, {"place": "x"}),
        (make(), replace(LOOK, tenant_id="t2"), {"place": "x"}),
        (make(), replace(LOOK, agent="other"), {"place": "x"}),
    ]
    for box, step, arguments in others:
        assert not (await call(box, step, **arguments))[1]
    assert (await call(make(), replace(LOOK, run_id="r2", step_id="s2"), place="x"))[1]


async def test_what_a_producer_put_into_the_context_counts_where_the_tool_sees_it(make: Make):
    step = claimed("price")
    euro, yen = (replace(step, metadata={"currency": name}) for name in ("EUR", "JPY"))
    assert await call(make(), euro, item="x") == ("x EUR 1", False)
    assert await call(make(), yen, item="x") == ("x JPY 2", False)
    assert await call(make(), replace(euro, tenant_id="t2"), item="x") == ("x EUR 1", True)
    assert (await call(make(), replace(LOOK, metadata={"a": 1}), place="z"))[1] is False
    assert (await call(make(), replace(LOOK, metadata={"a": 2}), place="z"))[1] is True


async def test_a_tool_that_did_not_ask_is_called_every_time(make: Make):
    assert [await call(make(), claimed("watch"), place="x") for _ in range(2)] == [("x 1", False), ("x 2", False)]


@pytest.mark.parametrize("effect", ["idempotent", "unsafe", None])
async def test_a_call_that_the_runs_bundle_calls_an_effect_is_made(make: Make, effect: str | None):
    await call(make(), place="x")
    assert not (await call(make(), replace(LOOK, effect=effect), place="x"))[1]


async def test_an_error_is_not_kept(make: Make):
    for _ in range(2):
        result = await make().call(LOOK, "call_1", {"place": "nowhere"})
        assert (result.is_error, result.cached) == (True, False)
        with pytest.raises(ToolRetry):
            await call(make(), place="later")
    assert calls == ["nowhere", "later"] * 2


@pytest.mark.parametrize(("label", "void"), [("tool:look", True), ("agent:helper", True), ("tag:prices", False)])
async def test_a_result_that_was_made_void_is_fetched_again(redis: Redis, make: Make, label: str, void: bool):
    await call(make(), place="x")
    await Shelf(redis, prefix="test", patience=9, cap=99_999).invalidate([label])
    assert await call(make(), place="x") == (("x 2", False) if void else ("x 1", True))
