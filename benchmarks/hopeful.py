"""What one would hand-write: a coroutine per run, the SDK in a loop, exponential backoff in the process, five tries.

``python -m benchmarks.hopeful URL KEY RUNS SECONDS`` prints what became of them.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from typing import Any

import anthropic

from agentfleet.agents.bundle import bundle_of
from benchmarks.talkers import AGENTS, CONTENT

TRIES = 5
FIRST_WAIT = 1.0
"""Seconds; doubles with every try, as the provider's SDKs and most of their users do it."""


class Loop:
    """The loops of one process, and what became of them."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._client = anthropic.AsyncAnthropic(base_url=base_url, api_key=api_key, max_retries=0)
        self._numbers = itertools.count()
        self.succeeded = self.failed = self.wasted_tokens = 0

    async def run(self, at_once: int, until: float) -> None:
        """Keep so many runs under way until the time on the monotonic clock."""
        await asyncio.gather(*(self._forever(until) for _ in range(at_once)))
        await self._client.close()

    async def _forever(self, until: float) -> None:
        while time.monotonic() < until:
            await self._one(next(self._numbers), until)

    async def _one(self, number: int, until: float) -> None:
        spec = bundle_of(AGENTS[number % len(AGENTS)]).spec
        messages: list[Any] = [{"role": "user", "content": json.loads(CONTENT)}]
        spent = 0
        while time.monotonic() < until:
            message = await self._call(spec, messages, until)
            if message is None:
                if time.monotonic() < until:
                    self.failed += 1
                    self.wasted_tokens += spent
                return
            spent += message.usage.input_tokens + message.usage.output_tokens
            uses = [block for block in message.content if block.type == "tool_use"]
            if not uses:
                self.succeeded += 1
                return
            messages.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
            results = [{"type": "tool_result", "tool_use_id": use.id, "content": "There are some."} for use in uses]
            messages.append({"role": "user", "content": results})

    async def _call(self, spec: Any, messages: list[Any], until: float) -> Any:
        for attempt in range(TRIES):
            if time.monotonic() >= until:
                return None
            try:
                async with self._client.messages.stream(
                    model=spec["model"],
                    max_tokens=spec["max_tokens"],
                    system=spec["instructions"],
                    tools=spec["tools"],
                    messages=messages,
                ) as stream:
                    return await stream.get_final_message()
            except anthropic.APIError:
                await asyncio.sleep(FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.0))  # jitter
        return None


def main() -> None:
    url, key, runs, seconds = sys.argv[1:]
    loop = Loop(url, key)
    asyncio.run(loop.run(int(runs), time.monotonic() + float(seconds)))
    print(
        json.dumps({"runs_succeeded": loop.succeeded, "failed_runs": loop.failed, "wasted_tokens": loop.wasted_tokens})
    )


if __name__ == "__main__":
    main()
