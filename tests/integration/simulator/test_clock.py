"""The clock that everything in a simulator reads."""

import asyncio
from collections import deque
from functools import partial

import anthropic
import pytest

from agentfleet.simulator.config import Limits, SimulatorConfig
from agentfleet.simulator.log import Entry
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect, Serve
from tests.integration.simulator.talk import advance, ask, control, eventually, say, stand_still, told

LONG = "All of this is the same every time. " * 200


async def test_a_clock_that_stands_moves_only_when_told(sim: Running) -> None:
    await stand_still(sim)
    first, second = [await told(sim, "clock") for _ in range(2)]
    assert first == second
    assert first["speed"] == 0
    await advance(sim, 3600)
    assert (await told(sim, "clock"))["now"] == first["now"] + 3600


async def test_a_clock_can_run_faster_from_where_it_is(sim: Running) -> None:
    before = (await told(sim, "clock"))["now"]
    assert (await control(sim, "POST", "clock", {"speed": 1_000_000, "advance": 10})).json()["speed"] == 1_000_000
    reached: list[float] = []
    while not reached or reached[-1] < before + 86_400:
        reached.append((await told(sim, "clock"))["now"])
    assert reached == sorted(reached)


async def test_reset_brings_back_the_real_time(sim: Running) -> None:
    before = (await told(sim, "clock"))["now"]
    await control(sim, "POST", "clock", {"speed": 0, "advance": 86_400})
    await control(sim, "POST", "reset")
    after = await told(sim, "clock")
    assert after["speed"] == 1
    assert after["now"] < before + 86_400


@pytest.mark.parametrize("order", [{"speed": -1}, {"advance": -1}, {"hurry": 1}])
async def test_a_wrong_order_to_the_clock_is_refused(sim: Running, order: dict[str, int]) -> None:
    assert (await control(sim, "POST", "clock", order)).status_code == 422


async def test_a_bucket_refills_by_the_clock_and_retry_after_is_exact(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(limits=Limits(requests_per_minute=2), clock_speed=0))
    client = connect(running.url)
    for _ in range(2):
        await say(client, **ask())
    with pytest.raises(anthropic.RateLimitError) as raised:
        await say(client, **ask())
    assert raised.value.response.headers["retry-after"] == "30"
    await advance(running, 29)
    with pytest.raises(anthropic.RateLimitError):
        await say(client, **ask())
    await advance(running, 1)
    await say(client, **ask())


async def test_a_cache_entry_dies_by_the_clock(sim: Running, client: anthropic.AsyncAnthropic) -> None:
    await stand_still(sim)
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    read: list[int] = []
    for pause in (299, 299, 301, 0):
        read.append((await say(client, **ask(system=system))).usage.cache_read_input_tokens)
        await advance(sim, pause)
    assert read == [0, 1800, 1800, 0]


async def test_an_answer_takes_its_time_on_the_clock(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(first_token_ms=60_000, token_ms=1000, clock_speed=0))
    call = asyncio.create_task(say(connect(running.url), **ask()))
    log = running.simulator.log
    await eventually(lambda: any(entry.status == 200 for entry in log.entries))
    await advance(running, 59)
    assert not call.done()
    await advance(running, 3600)
    await eventually(call.done)
    assert call.result().stop_reason == "end_turn"


async def test_a_client_that_hangs_up_is_noticed_while_the_clock_stands(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(first_token_ms=1000, clock_speed=0))
    with pytest.raises(anthropic.APITimeoutError):
        await say(connect(running.url, timeout=0.3), stream=False, **ask())
    await eventually(lambda: running.simulator.log.entries[0].outcome == "abandoned")


async def test_output_is_charged_as_it_is_produced(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(token_ms=1000, clock_speed=0))
    script = {"name": "long", "turns": [{"blocks": ["word " * 200]}]}
    await control(running, "POST", "scripts", script)
    call = asyncio.create_task(say(connect(f"{running.url}/s/script:long"), **ask()))
    entries = running.simulator.log.entries
    await eventually(lambda: any(entry.spoke_at is not None for entry in entries))
    charged = [entries[0].charged["output-tokens"]]
    for seconds, least in ((100, 90), (1000, 250)):
        await advance(running, seconds)
        await eventually(partial(_charged_at_least, entries, least))
        charged.append(entries[0].charged["output-tokens"])
    assert charged[0] == 0
    assert 90 <= charged[1] <= 100
    assert charged[2] == (await call).usage.output_tokens == 250


def _charged_at_least(entries: deque[Entry], tokens: int) -> bool:
    return entries[0].charged["output-tokens"] >= tokens
