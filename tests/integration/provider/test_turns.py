"""Whole turns through the real SDK: verbatim, streamed, counted, priced."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, cast

import anthropic
import pytest

from agentfleet.domain import errors as e
from agentfleet.provider.prices import cost
from agentfleet.simulator.scripts import Script
from agentfleet.simulator.serve import Running
from tests.integration.provider.conftest import KEY, Connect
from tests.integration.provider.talk import MODEL, ask, message
from tests.integration.simulator.talk import eventually

LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Look at one place.",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
}
ODD_INPUT = {
    "z": 'häß 🦑 \u2028 \x00 \\ " </script>',
    "a": {"nested": [1, 2.5, None, True, {"b": 1, "a": 2}]},
    "big": 9223372036854775807,
    "float": 100.0,
    "": "",
}
ODD_TEXT = 'Grüße 🦑\r\n\ttab \u2028 \x00 "quoted" \\ end'


def script(sim: Running, *turns: list[Any]) -> str:
    """Makes the simulator say these blocks, turn by turn; returns the base URL."""
    sim.simulator.scripts["s"] = Script.model_validate({"name": "s", "turns": [{"blocks": turn} for turn in turns]})
    return f"{sim.url}/s/script:s"


async def test_thinking_tools_and_odd_characters_survive_the_round_trip(sim: Running, connect: Connect):
    first = [
        {"type": "thinking", "thinking": "Hm. 🤔"},
        ODD_TEXT,
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": ODD_INPUT},
        {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}},
        {"type": "hologram", "depth": 3, "texture": {"b": 1, "a": 2}},
    ]
    url = script(sim, first, [{"type": "thinking", "thinking": "Well."}, "Done."])
    reasoner = connect(url)
    opening = message(0, "user", "Go.")
    turn = (await reasoner.reason(ask(opening, tools=[LOOK]), None)).turn

    said = json.loads(turn.content)
    assert said[0].pop("signature").startswith("sim")
    assert said == [first[0], {"type": "text", "text": ODD_TEXT}, *first[2:]]
    assert list(said[2]["input"]) == list(ODD_INPUT)
    assert (turn.stop_reason, turn.text) == ("tool_use", ODD_TEXT)
    assert [(use.call_id, use.name, json.loads(use.arguments)) for use in turn.tool_uses] == [
        ("toolu_1", "look", ODD_INPUT),
        ("toolu_2", "look", {}),
    ]
    assert "\x00" not in turn.content

    results = [
        message(2, "user", {"type": "tool_result", "tool_use_id": f"toolu_{part + 1}", "content": "ok"}, part=part)
        for part in (0, 1)
    ]
    stored = message(1, "assistant")
    stored = type(stored)(1, 0, "assistant", turn.content)
    again = await reasoner.reason(ask(opening, stored, *results, tools=[LOOK]), None)
    assert again.turn.text == "Done."
    assert all(entry.status == 200 for entry in sim.simulator.log.entries), "a signature or a pairing was refused"


async def test_our_reading_of_a_stream_is_the_sdks(sim: Running, connect: Connect):
    url = script(
        sim,
        [
            {"type": "thinking", "thinking": "Hm."},
            ODD_TEXT,
            {"type": "tool_use", "name": "look", "input": {"place": "x"}},
        ],
    )
    ours = await connect(url).reason(ask(message(0, "user", "Go."), tools=[LOOK], cache=False), None)
    async with (
        anthropic.AsyncAnthropic(api_key=KEY, base_url=url, http_client=anthropic.DefaultAioHttpClient()) as client,
        client.messages.stream(
            model=MODEL,
            max_tokens=1_000,
            system="Be brief.",
            tools=[cast("Any", LOOK)],
            messages=[{"role": "user", "content": [{"type": "text", "text": "Go."}]}],
        ) as stream,
    ):
        theirs = await stream.get_final_message()
    assert json.loads(ours.turn.content) == [part.to_dict(mode="json") for part in theirs.content]
    assert json.loads(ours.usage_raw) == theirs.usage.to_dict(mode="json")


async def test_pieces_of_text_arrive_while_the_model_speaks_and_add_up(sim: Running, connect: Connect):
    url = script(sim, [{"type": "thinking", "thinking": "Not for the listener."}, "A long text. " * 20, "And more."])
    pieces: list[str] = []
    turn = (await connect(url).reason(ask(), pieces.append)).turn
    assert len(pieces) > 3
    assert "".join(pieces) == turn.text == "A long text. " * 20 + "And more."


async def test_a_conversation_with_parallel_tools_runs_to_its_typed_end(sim: Running, connect: Connect):
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string"}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    reasoner = connect(sim.url)
    conversation = [message(0, "user", "Look at the cellar and the attic.")]
    for turn_no in range(1, 20, 2):
        request = ask(*conversation, tools=[LOOK], output_schema=schema, thinking="adaptive", effort="low")
        turn = (await reasoner.reason(request, None)).turn
        conversation.append(type(conversation[0])(turn_no, 0, "assistant", turn.content))
        if turn.stop_reason != "tool_use":
            break
        for part, use in enumerate(turn.tool_uses):
            result = {"type": "tool_result", "tool_use_id": use.call_id, "content": "empty"}
            conversation.append(message(turn_no + 1, "user", result, part=part))
    else:
        pytest.fail("the model never finishes")
    assert set(json.loads(turn.text)) == {"verdict"}
    assert len(conversation) > 3
    assert {entry.status for entry in sim.simulator.log.entries} == {200}


@pytest.mark.parametrize("fault", ["empty_turn", "pause_turn"])
async def test_a_turn_that_says_nothing_or_pauses_can_be_continued(sim: Running, connect: Connect, fault: str):
    opening = message(0, "user", "Go.")
    odd = (await connect(f"{sim.url}/s/{fault}").reason(ask(opening), None)).turn
    said = type(opening)(1, 0, "assistant", odd.content)
    correction = [message(2, "user", "Please answer.")] if fault == "empty_turn" else []
    turn = (await connect(sim.url).reason(ask(opening, said, *correction), None)).turn
    assert turn.stop_reason == "end_turn"
    assert turn.text


async def test_half_a_tool_call_is_kept_as_evidence_and_is_not_a_call(sim: Running, connect: Connect):
    turn = (await connect(f"{sim.url}/s/max_tokens_in_tool").reason(ask(), None)).turn
    (half,) = json.loads(turn.content)
    assert isinstance(half["input"], str)
    assert turn.tool_uses == ()


async def test_usage_and_cost_are_those_of_the_provider(sim: Running, connect: Connect):
    reasoner = connect(sim.url)
    request = ask(message(0, "user", "word " * 6_000))
    await reasoner.reason(request, None)
    reasoned = await reasoner.reason(request, None)
    first, second = (entry.usage for entry in sim.simulator.log.entries)
    assert first["cache_creation_input_tokens"] > 1_000
    assert second["cache_read_input_tokens"] > 1_000
    assert json.loads(reasoned.usage_raw) == second
    usage = reasoned.usage
    assert (usage.input_tokens, usage.output_tokens) == (second["input_tokens"], second["output_tokens"])
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (second["cache_read_input_tokens"], 0)
    assert usage.cost_usd == cost(second, MODEL, datetime.now(UTC).date()) > 0


async def test_no_more_room_is_asked_for_than_the_model_has(sim: Running, connect: Connect):
    assert not (await connect(sim.url).reason(ask(max_tokens=1_000), None)).turn.at_limit
    assert (await connect(sim.url).reason(ask(max_tokens=1_000_000), None)).turn.at_limit, "and it is accepted"
    own = ask(max_tokens=1_000_000, model="claude-haiku-4-5")
    assert (await connect(sim.url).reason(own, None)).turn.at_limit


async def test_no_cache_mark_means_no_cached_tokens(sim: Running, connect: Connect):
    await connect(sim.url).reason(ask(message(0, "user", "word " * 6_000), cache=False), None)
    assert sim.simulator.log.entries[0].usage["cache_creation_input_tokens"] == 0


async def test_calls_are_tagged_with_their_run_and_step(sim: Running, connect: Connect):
    await connect(sim.url).reason(ask(), None)
    assert sim.simulator.log.entries[0].tags == {"x-agentfleet-run": "run-1", "x-agentfleet-step": "step-1"}


async def test_a_proxy_of_the_environment_does_not_capture_a_provider_on_this_machine(
    sim: Running, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert (await connect(sim.url).reason(ask(), None)).turn.text


async def test_a_deadline_cuts_a_call_off_and_hangs_up(sim: Running, connect: Connect):
    reasoner = connect(f"{sim.url}/s/stream_stall")
    pieces: list[str] = []
    heard = asyncio.Event()

    def listen(piece: str) -> None:
        pieces.append(piece)
        heard.set()

    call = asyncio.create_task(reasoner.reason(ask(message(0, "user", "Say a lot.")), listen))
    await heard.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: not sim.simulator.log.in_flight)
    assert sim.simulator.log.entries[0].outcome == "abandoned"


async def test_a_closed_reasoner_and_a_server_that_is_not_there_are_told_apart(sim: Running, connect: Connect):
    closed = connect(sim.url)
    await closed.reason(ask(), None)
    await closed.close()
    with pytest.raises(e.ProviderRejected, match="closed"):
        await closed.reason(ask(), None)
    with pytest.raises(e.ProviderUnavailable):
        await connect("http://127.0.0.1:9").reason(ask(), None)


async def test_a_request_that_utf8_cannot_carry_is_refused_and_not_retried(sim: Running, connect: Connect):
    with pytest.raises(e.ProviderRejected):
        await connect(sim.url).reason(ask(message(0, "user", "\ud800")), None)
