"""The agents of the admission benchmark, what the simulator says to them, and its limits.

Each model group is short of something else. A call lasts about a second, so 200 runs ask for well over 100 calls a
second, where the limits allow about twelve.
"""

import json

from agentfleet.agents.agent import Agent
from agentfleet.agents.tool import tool
from agentfleet.domain.budget import Budget

TURNS = 6
CONTENT = json.dumps([{"type": "text", "text": "sim-script:talk Go on."}])
ANSWER = "word " * 300
"""About 375 tokens."""
INSTRUCTIONS = "Follow the rules of the house. " * 400
"""About 3,100 tokens."""


@tool(effect="read", timeout=20)
async def look(n: int) -> str:
    """Look at something."""
    return f"There are {n} of it. " * 5


def _agent(name: str, model: str, instructions: str) -> Agent:
    return Agent(
        name=name,
        model=model,
        instructions=instructions,
        tools=[look],
        budget=Budget(max_steps=50),
        cache=False,
        max_tokens=4_000,
    )


asker = _agent("asker", "claude-haiku-5-5", "Look.")
reader = _agent("reader", "claude-sonnet-5-5", INSTRUCTIONS)
writer = _agent("writer", "claude-opus-5-5", "Look.")
AGENTS = (asker, reader, writer)

SCRIPT = {
    "name": "talk",
    "turns": [
        *(
            {"blocks": [ANSWER, {"type": "tool_use", "name": "look", "input": {"n": turn}}]}
            for turn in range(TURNS - 1)
        ),
        {"blocks": [ANSWER]},
    ],
}

_PLENTY = {"requests_per_minute": 60_000, "input_tokens_per_minute": 60_000_000, "output_tokens_per_minute": 60_000_000}
LIMITS = {
    "burst_seconds": 5,
    "first_token_ms": 300,
    "token_ms": 2,
    "limits_by_group": {
        "haiku-5.5": {**_PLENTY, "requests_per_minute": 240},
        "sonnet-5.5": {**_PLENTY, "input_tokens_per_minute": 1_000_000},
        "opus-5.5": {**_PLENTY, "output_tokens_per_minute": 90_000},
    },
}
