"""The benchmark's agent: a run of ten steps, reason and tool in turn, no-op bodies, 2 KB of result each.

The model is a no-op in the worker's own process (``AGENTFLEET_PROVIDER=benchmarks.workload:make_model``), so what is
measured is the fleet: claim, settle, messages, events, attempts, publishing, Celery. Nothing of the durable path is
switched off.
"""

import asyncio
import json
import os
from collections.abc import Callable

from agentfleet.agents.agent import Agent
from agentfleet.agents.tool import tool
from agentfleet.domain.budget import Budget, Usage
from agentfleet.domain.plan import ToolUse, Turn
from agentfleet.engine.ports import Reasoned, ReasonRequest

STEPS_PER_RUN = 10
WORDS = "word " * 400
"""2,000 characters."""
SLEEP = float(os.environ.get("AGENTFLEET_BENCH_SLEEP", "0"))  # a benchmark's own knob, not a setting
"""Seconds that each tool call waits, for the benchmark of sleepers."""


@tool(effect="idempotent", timeout=600)
async def work(n: int) -> str:
    """Do nothing, and say so at length."""
    if SLEEP:
        await asyncio.sleep(SLEEP)
    return f"{n} {WORDS}"


bench = Agent(name="bench", model="claude-haiku-5-5", instructions="Work.", tools=[work], budget=Budget(max_steps=20))
sleeper = Agent(
    name="sleeper", model="claude-haiku-5-5", instructions="Sleep.", tools=[work], budget=Budget(max_steps=20)
)


class NoopModel:
    """Asks for one tool call a turn, twice for two, and then answers: five reason and five tool steps."""

    async def reason(self, request: ReasonRequest, on_text: Callable[[str], None] | None) -> Reasoned:
        turns = sum(message.role == "assistant" for message in request.conversation)
        calls = {0: 1, 1: 1, 2: 1, 3: 2}.get(turns, 0) if request.bundle.agent == "bench" else {0: 1}.get(turns, 0)
        text = {"type": "text", "text": WORDS}
        uses = [
            {"type": "tool_use", "id": f"toolu_{request.step_id}_{i}", "name": "work", "input": {"n": i}}
            for i in range(calls)
        ]
        turn = Turn(
            "tool_use" if uses else "end_turn",
            json.dumps([text, *uses]),
            WORDS,
            tuple(ToolUse(str(use["id"]), "work", json.dumps(use["input"])) for use in uses),
        )
        return Reasoned(
            turn, Usage(input_tokens=500, output_tokens=500), '{"input_tokens":500,"output_tokens":500}', None
        )

    async def close(self) -> None: ...


def make_model(**_: object) -> NoopModel:
    return NoopModel()
