"""Requests the tests send, and a loop that answers tool calls."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2

from agentfleet.simulator.serve import Running

MODEL = "claude-sonnet-5-5"
LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Look at one place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def ask(text: str = "Say hello.", **more: Any) -> dict[str, Any]:
    """Keyword arguments of a small call."""
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


async def control(sim: Running, method: str, path: str, body: Any = None, **query: Any) -> httpx2.Response:
    """One call of /sim/."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.request(method, f"{sim.url}/sim/{path}", json=body, params=query or None)


async def told(sim: Running, path: str, **query: Any) -> Any:
    """What /sim/ says, which must be a 200."""
    answer = await control(sim, "GET", path, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def stand_still(sim: Running) -> None:
    """Stop the simulator's clock."""
    await control(sim, "POST", "clock", {"speed": 0})


async def advance(sim: Running, seconds: float) -> None:
    """Let the simulator's time pass."""
    await control(sim, "POST", "clock", {"advance": seconds})


def altered(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same call with other arguments."""
    return {**request, **changes}


async def say(client: anthropic.AsyncAnthropic, *, stream: bool = True, **request: Any) -> Any:
    """One message, by streaming or in one piece."""
    if not stream:
        return await client.messages.create(**request)
    async with client.messages.stream(**request) as events:
        return await events.get_final_message()


def blocks(message: Any) -> list[dict[str, Any]]:
    """The content as it is to be sent back."""
    return [block.to_dict(mode="json") for block in message.content]


def results(message: Any, run: Callable[[str, dict[str, Any]], Any]) -> dict[str, Any]:
    """The user message that answers every tool call; a tool that raises becomes an error result."""
    content: list[dict[str, Any]] = []
    for block in message.content:
        if block.type != "tool_use":
            continue
        try:
            said, failed = json.dumps(run(block.name, block.input)), False
        except RuntimeError as error:
            said, failed = str(error), True
        content.append({"type": "tool_result", "tool_use_id": block.id, "content": said, "is_error": failed})
    return {"role": "user", "content": content}


async def converse(
    client: anthropic.AsyncAnthropic, run: Callable[[str, dict[str, Any]], Any], **request: Any
) -> list[Any]:
    """Drive a conversation until the model stops asking for tools; every message it sent, in order."""
    said: list[Any] = []
    while not said or said[-1].stop_reason == "tool_use":
        assert len(said) < 20, "the model never finishes"
        said.append(await say(client, **request))
        turn = {"role": "assistant", "content": blocks(said[-1])}
        request["messages"] = [*request["messages"], turn, results(said[-1], run)]
    return said


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # the server is in another thread and sets no event of ours
            await asyncio.sleep(0.005)
