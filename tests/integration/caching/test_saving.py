"""What the prompt cache saves: whole runs on real workers, through the real SDK, by the simulator's own accounts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from agentfleet import Agent, tool
from agentfleet.agents.bundle import bundle_of
from agentfleet.agents.registry import Registry
from agentfleet.agents.toolbox import AgentToolbox
from agentfleet.domain.model import Message, NextStep, StepKind
from agentfleet.domain.plan import LoopState
from agentfleet.engine.ports import Reasoner
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.limits import Limits
from agentfleet.provider.prices import cost
from agentfleet.provider.warmth import Warmth
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.scripts import Script
from agentfleet.simulator.serve import Running, background
from agentfleet.store.database import Database
from tests.factories import save_bundle, submit, tally
from tests.integration.provider.talk import ask, message
from tests.scripted import Bells, Worker, until

MODEL = "claude-sonnet-5-5"
SIBLINGS = 20
PREFIX = "word " * 24_000
"""30,000 tokens, at four characters each."""
SLOW = SimulatorConfig(first_token_ms=150)
"""What begins together reaches the model before any of it has been answered."""


@tool(effect="read")
async def look(place: str) -> str:
    """Look at a place."""
    return f"{place} is empty"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with background(SLOW) as running:
        yield running


@pytest.fixture
def sim(served: Running) -> Running:
    served.simulator.reset()
    return served


@pytest.fixture
async def reasoner(sim: Running, redis_url: str) -> AsyncIterator[Callable[..., Reasoner]]:
    """Makes the reasoner of one process; with ``patience`` 0 siblings do not wait for each other."""
    async with AsyncExitStack() as stack:

        def make(patience: float = 20.0, path: str = "") -> Reasoner:
            redis = Redis.from_url(redis_url)
            stack.push_async_callback(redis.aclose)
            made = make_reasoner(
                "anthropic",
                base_url=sim.url + path,
                api_key="sk-ant-test-0123456789abcdef",
                limits=Limits(connections=100),
                warmth=Warmth(redis, prefix="test", patience=patience),
            )
            stack.push_async_callback(made.close)
            return made

        yield make


async def run_siblings(db: Database, agent: Agent, reasoners: Sequence[Reasoner], runs: int = SIBLINGS) -> list[str]:
    """So many runs of ``agent`` at once, on a worker per reasoner, to their end; their ids."""
    bundle = bundle_of(agent)
    await save_bundle(db, bundle)
    first = NextStep(StepKind.REASON, agent.model, 1, input=LoopState().dumps())
    accepted = [
        await submit(
            db,
            agent=agent.name,
            bundle_id=bundle.id,
            first=first,
            content=json.dumps([{"type": "text", "text": f"Look at room {n}."}]),
        )
        for n in range(runs)
    ]
    with ThreadPoolExecutor(1) as threads:
        bells = Bells()
        tools: Any = AgentToolbox(Registry([agent]), threads)
        workers = [Worker(db, bells, one, tools, name=f"worker:{n}") for n, one in enumerate(reasoners)]
        ids = [one.step_id for one in accepted]
        while ids:
            await asyncio.gather(*(workers[n % len(workers)].execute(step_id) for n, step_id in enumerate(ids)))
            ids = bells.take()
    ended = [await tally(db, one.run_id) for one in accepted]
    assert {tallied.run.state for tallied in ended} == {"succeeded"}
    return [one.run_id for one in accepted]


def read(sim: Running) -> list[int]:
    """Tokens that each call has read from the cache."""
    return [entry.usage["cache_read_input_tokens"] for entry in sim.simulator.log.entries]


def paid_share(sim: Running) -> float:
    """What the prompts of all calls have cost, as a share of what they would have cost without any cache."""
    usages = [{**entry.usage, "output_tokens": 0} for entry in sim.simulator.log.entries]
    paid = sum((cost(usage, MODEL, date.max) for usage in usages), Decimal(0))
    tokens = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    naive = [{"input_tokens": sum(usage[field] for field in tokens)} for usage in usages]
    return float(paid / sum((cost(usage, MODEL, date.max) for usage in naive), Decimal(0)))


def counted(result: str) -> float:
    labels = {"model": MODEL, "result": result}
    return REGISTRY.get_sample_value("agentfleet_prompt_cache_tokens_total", labels) or 0.0


async def test_twenty_siblings_with_a_long_prefix_pay_less_than_15_percent(
    db: Database, sim: Running, reasoner: Callable[..., Reasoner]
):
    agent = Agent(name="answerer", model=MODEL, instructions=PREFIX)
    await run_siblings(db, agent, [reasoner(), reasoner()])
    assert sorted(tokens > 0 for tokens in read(sim)) == [False] + [True] * (SIBLINGS - 1)
    assert paid_share(sim) <= 0.15


async def test_without_waiting_for_the_first_the_siblings_pay_more_than_without_a_cache(
    db: Database, sim: Running, reasoner: Callable[..., Reasoner]
):
    agent = Agent(name="answerer", model=MODEL, instructions=PREFIX)
    clock, log = sim.simulator.clock, sim.simulator.log
    clock.run(0)  # nobody is answered before all have asked
    running = asyncio.create_task(run_siblings(db, agent, [reasoner(patience=0), reasoner(patience=0)]))
    await until(lambda: asyncio.sleep(0, log.in_flight == SIBLINGS), "all have asked")
    clock.run(1)
    await running
    assert paid_share(sim) > 1.2


async def test_runs_that_call_tools_read_all_that_was_said_before(
    db: Database, sim: Running, reasoner: Callable[..., Reasoner]
):
    missed = counted("missed")
    agent = Agent(name="looker", model=MODEL, instructions=PREFIX, tools=[look])
    run_ids = await run_siblings(db, agent, [reasoner(), reasoner()])
    assert len(read(sim)) == 2 * SIBLINGS
    assert paid_share(sim) <= 0.10
    assert counted("missed") == missed
    steps = (await tally(db, run_ids[0])).attempts
    usages = [attempt.usage for attempt in steps if attempt.usage]
    assert [json.loads(usage)["cache_read_input_tokens"] > 30_000 for usage in usages][-1]


async def test_forty_results_of_parallel_tools_do_not_hide_what_was_cached_before_them(
    db: Database, sim: Running, reasoner: Callable[..., Reasoner]
):
    calls = [{"type": "tool_use", "name": "look", "input": {"place": f"room {n}"}} for n in range(40)]
    turns = [{"blocks": calls}, {"blocks": calls}, {"blocks": ["Done."]}]
    sim.simulator.scripts["wide"] = Script.model_validate({"name": "wide", "turns": turns})
    missed = counted("missed")
    agent = Agent(name="wide", model=MODEL, instructions=PREFIX, tools=[look])
    await run_siblings(db, agent, [reasoner(path="/s/script:wide")], runs=1)
    prompts = [sum(entry.usage[f"{kind}input_tokens"] for kind in ("", "cache_creation_", "cache_read_"))
               for entry in sim.simulator.log.entries]  # fmt: skip
    assert read(sim) == [0, *prompts[:-1]]
    assert counted("missed") == missed


async def test_a_run_that_waits_ten_minutes_each_time_pays_for_its_past_twice_and_never_again(
    sim: Running, reasoner: Callable[..., Reasoner]
):
    model = reasoner()
    said = [message(0, "user", "word " * 24_000)]
    age: float | None = None
    for turn in range(1, 8, 2):
        answered = await model.reason(replace(ask(*said), prompt_age=age), None)
        said += [Message(turn, 0, "assistant", answered.turn.content), message(turn + 1, "user", "Go on.")]
        age = 600.0
        sim.simulator.clock.advance(age)
    written = [entry.usage["cache_creation"] for entry in sim.simulator.log.entries]
    assert [one["ephemeral_5m_input_tokens"] > 30_000 for one in written] == [True, False, False, False]
    assert [one["ephemeral_1h_input_tokens"] > 30_000 for one in written] == [False, True, False, False]
    assert [tokens > 30_000 for tokens in read(sim)] == [False, False, True, True]
