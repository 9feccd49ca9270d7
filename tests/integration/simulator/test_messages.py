"""The Messages API as the real SDK sees it, under strict validation."""

import json

import anthropic
import pytest

from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.serve import Running
from tests.integration.simulator.conftest import Connect, Serve
from tests.integration.simulator.talk import LOOK, altered, ask, blocks, eventually, results, say

pytestmark = pytest.mark.usefixtures("sim")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_text_answer_validates_strictly(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await say(client, stream=stream, **ask("Say hello."))
    assert message.stop_reason == "end_turn"
    assert message.content[0].text == "Simulated answer to: Say hello."
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_and_thinking_validate_strictly(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await say(client, stream=stream, **ask(tools=[LOOK], thinking={"type": "adaptive"}))
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert message.stop_reason == "tool_use"
    assert message.content[0].signature
    assert message.usage.output_tokens_details.thinking_tokens > 0


async def test_events_come_in_the_order_of_the_service(client: anthropic.AsyncAnthropic) -> None:
    kinds: list[str] = []
    deltas: list[str] = []
    async with client.messages.with_streaming_response.create(
        **ask(tools=[LOOK], thinking={"type": "adaptive"}), stream=True
    ) as response:
        async for line in response.iter_lines():
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
            elif line.startswith("data: ") and '"content_block_delta"' in line:
                deltas.append(json.loads(line.removeprefix("data: "))["delta"]["type"])
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    assert deltas.count("signature_delta") == 1
    assert deltas.index("signature_delta") == deltas.index("input_json_delta") - 1


async def test_arguments_begin_with_an_empty_delta(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ask(tools=[LOOK])) as stream:
        parts = [event.partial_json async for event in stream if event.type == "input_json"]
    assert parts[0] == ""
    assert "".join(parts) == '{"place":"sample place"}'


async def test_a_long_text_comes_in_several_deltas(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ask("word " * 40)) as stream:
        parts = [text async for text in stream.text_stream]
    assert len(parts) > 2
    assert "".join(parts).startswith("Simulated answer to: word word")


async def test_omitted_thinking_still_has_a_signature(client: anthropic.AsyncAnthropic) -> None:
    message = await say(client, **ask(thinking={"type": "adaptive", "display": "omitted"}))
    assert message.content[0].thinking == ""
    assert message.content[0].signature


async def test_equal_requests_get_equal_answers_and_fresh_ids(client: anthropic.AsyncAnthropic) -> None:
    first, second = [await say(client, **ask(tools=[LOOK])) for _ in range(2)]
    assert blocks(first) == blocks(second)
    assert first.id != second.id


async def test_every_answer_has_its_own_request_id(client: anthropic.AsyncAnthropic, sim: Running) -> None:
    ids: set[str] = set()
    for _ in range(3):
        async with client.messages.stream(**ask()) as stream:
            ids.add(str(stream.request_id))
    assert len(ids) == 3
    assert ids == {entry.id for entry in sim.simulator.log.entries}


async def test_both_auth_headers_are_accepted(sim: Running, connect: Connect) -> None:
    by_key = connect(sim.url, default_headers={"Authorization": anthropic.Omit(), "x-api-key": "sim"})
    assert (await say(by_key, **ask())).stop_reason == "end_turn"


async def test_no_key_is_a_401(sim: Running, connect: Connect) -> None:
    keyless = connect(sim.url, default_headers={"Authorization": anthropic.Omit()})
    with pytest.raises(anthropic.AuthenticationError) as raised:
        await say(keyless, **ask())
    assert raised.value.request_id == raised.value.body["request_id"]  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]


async def test_max_tokens_cuts_a_text(client: anthropic.AsyncAnthropic) -> None:
    message = await say(client, **ask("word " * 100, max_tokens=5))
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 5


async def test_max_tokens_cuts_tool_arguments(client: anthropic.AsyncAnthropic) -> None:
    text = json.dumps({"place": "somewhere far away " * 10})
    message = await say(client, **ask(text, tools=[LOOK], max_tokens=20))
    assert message.stop_reason == "max_tokens"
    assert message.content[0].input == {}, "the SDK repairs the cut JSON into something that looks whole"


async def test_a_stop_sequence_ends_the_text(client: anthropic.AsyncAnthropic) -> None:
    message = await say(client, **ask("one two three", stop_sequences=["two"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "two")
    assert message.content[0].text == "Simulated answer to: one "


async def test_counting_matches_the_usage_of_the_call(client: anthropic.AsyncAnthropic) -> None:
    request = ask("Count this, please.", tools=[LOOK], system="Be brief.")
    counted = await client.messages.count_tokens(**{key: request[key] for key in request if key != "max_tokens"})
    assert counted.input_tokens == (await say(client, **request)).usage.input_tokens


async def test_editing_history_before_a_thinking_block_is_a_400(client: anthropic.AsyncAnthropic) -> None:
    request = ask("Look around.", tools=[LOOK], thinking={"type": "adaptive"})
    message = await say(client, **request)
    answered = [{"role": "assistant", "content": blocks(message)}, results(message, lambda *_: "seen")]
    untouched = await say(client, **altered(request, messages=[*request["messages"], *answered]))
    assert untouched.stop_reason == "end_turn"
    edited = [{"role": "user", "content": "Look about."}, *answered]
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await say(client, **altered(request, messages=edited))
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await say(client, **altered(request, messages=[*request["messages"], *answered], system="Changed."))


@pytest.mark.parametrize("merged", [True, False])
async def test_a_paused_turn_goes_on_and_stays_signed(sim: Running, connect: Connect, merged: bool) -> None:
    request = ask("Search.", thinking={"type": "adaptive"})
    paused = blocks(await say(connect(f"{sim.url}/s/pause_turn"), **request))
    client = connect(sim.url)
    history = [*request["messages"], {"role": "assistant", "content": paused}]
    more = blocks(await say(client, **altered(request, messages=history)))
    if merged:
        history = [*request["messages"], {"role": "assistant", "content": [*paused, *more]}]
    else:
        history.append({"role": "assistant", "content": more})
    history.append({"role": "user", "content": "And then?"})
    assert (await say(client, **altered(request, messages=history))).stop_reason == "end_turn"


async def test_signatures_outlive_a_restart(serve: Serve, connect: Connect) -> None:
    request = ask("Look around.", tools=[LOOK], thinking={"type": "adaptive"})
    message = await say(connect(serve(SimulatorConfig()).url), **request)
    answered = [{"role": "assistant", "content": blocks(message)}, results(message, lambda *_: "seen")]
    restarted = connect(serve(SimulatorConfig()).url)
    assert (await say(restarted, **altered(request, messages=[*request["messages"], *answered]))).content


async def test_moving_a_cache_marker_does_not_break_signatures(client: anthropic.AsyncAnthropic) -> None:
    def marked(text: str) -> dict[str, object]:
        return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}

    request = ask(tools=[LOOK], thinking={"type": "adaptive"})
    request["messages"] = [{"role": "user", "content": [marked("Look around.")]}]
    message = await say(client, **request)
    answered = [{"role": "assistant", "content": blocks(message)}, results(message, lambda *_: "seen")]
    unmarked = [{"role": "user", "content": "Look around."}, *answered]
    assert (await say(client, **altered(request, messages=unmarked))).stop_reason == "end_turn"


async def test_an_unknown_or_retired_model_is_a_404(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="claude-nothing"):
        await say(client, **ask(model="claude-nothing"))
    with (
        pytest.raises(anthropic.NotFoundError, match="claude-opus-4-0"),
        pytest.warns(DeprecationWarning, match="opus"),
    ):
        await say(client, **ask(model="claude-opus-4-0"))


async def test_a_paced_stream_is_abandoned_when_the_client_leaves(serve: Serve, connect: Connect) -> None:
    running = serve(SimulatorConfig(token_ms=60_000))
    async with connect(running.url).messages.stream(**ask()) as stream:
        assert (await anext(aiter(stream))).type == "message_start"
        assert running.simulator.log.in_flight == 1
    await eventually(lambda: running.simulator.log.entries[0].outcome == "abandoned")
    assert running.simulator.log.in_flight == 0


async def test_the_latency_header_delays_the_first_token(sim: Running, connect: Connect) -> None:
    client = connect(sim.url, default_headers={"x-sim-latency-ms": "60000"}, timeout=0.3)
    with pytest.raises(anthropic.APITimeoutError):
        await say(client, stream=False, **ask())
    await eventually(lambda: sim.simulator.log.entries[0].outcome == "abandoned")
