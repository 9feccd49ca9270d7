"""Answers that no simulator would give, byte by byte through the real SDK."""

import json

import pytest

from agentfleet.domain import errors as e
from tests.integration.provider.conftest import Connect, Wire
from tests.integration.provider.talk import START, ask, block, end, event, stream

TEXT = {"type": "text", "text": ""}
HELLO = block(0, TEXT, {"type": "text_delta", "text": "Hello"})


def tool(*parts: str, **start) -> str:
    head = {"type": "tool_use", "id": "t1", "name": "look", "input": {}, **start}
    return block(0, head, *({"type": "input_json_delta", "partial_json": part} for part in parts))


async def test_tool_arguments_are_kept_exactly_as_written(wire: Wire, connect: Connect):
    written = '{"b" :\t1e2, "a": [1.50,  "\\u00e4", 123456789012345678901234567890]}'
    answer = stream(START, tool("", written[:7], written[7:], caller={"type": "direct"}), end("tool_use"))
    turn = (await connect(await wire(answer)).reason(ask(), None)).turn
    assert turn.tool_uses[0].arguments == written
    assert (
        turn.content
        == f'[{{"type":"tool_use","id":"t1","name":"look","input":{written},"caller":{{"type":"direct"}}}}]'
    )


async def test_a_tool_call_without_argument_deltas_has_those_of_its_start(wire: Wire, connect: Connect):
    answer = stream(START, tool(input={"place": "x"}), end("tool_use"))
    turn = (await connect(await wire(answer)).reason(ask(), None)).turn
    assert turn.tool_uses[0].arguments == '{"place":"x"}'
    assert json.loads(turn.content)[0]["input"] == {"place": "x"}


async def test_lone_surrogates_are_replaced_and_split_pairs_joined(wire: Wire, connect: Connect):
    deltas = ({"type": "text_delta", "text": piece} for piece in ("a\ud83e", "\udd91b", "\ud800c"))
    turn = (await connect(await wire(stream(START, block(0, TEXT, *deltas), end()))).reason(ask(), None)).turn
    assert turn.text == "a🦑b\ufffdc"
    assert json.loads(turn.content)[0]["text"] == turn.text
    calls = stream(START, tool('{"a":"\\ud800","b":"\\ud83e\\udd91"}'), end("tool_use"))
    turn = (await connect(await wire(calls)).reason(ask(), None)).turn
    assert json.loads(turn.tool_uses[0].arguments) == {"a": "\ufffd", "b": "🦑"}
    turn.content.encode()


async def test_deltas_that_nobody_knows_extend_the_fields_their_block_has(wire: Wire, connect: Connect):
    start = {"type": "hologram", "light": "a", "frames": [1], "depth": None}
    deltas = [
        {"type": "hologram_delta", "light": "b", "frames": [2], "depth": 3, "unknown": True},
        {"type": "x", "light": "c"},
    ]
    turn = (await connect(await wire(stream(START, block(0, start, *deltas), end()))).reason(ask(), None)).turn
    assert json.loads(turn.content) == [{"type": "hologram", "light": "abc", "frames": [1, 2], "depth": 3}]


async def test_citations_are_collected(wire: Wire, connect: Connect):
    deltas = [{"type": "citations_delta", "citation": {"n": n}} for n in (1, 2)]
    turn = (await connect(await wire(stream(START, block(0, TEXT, *deltas), end()))).reason(ask(), None)).turn
    assert json.loads(turn.content) == [{"type": "text", "text": "", "citations": [{"n": 1}, {"n": 2}]}]


async def test_a_whole_turn_counts_though_the_connection_does_not_end_properly(wire: Wire, connect: Connect):
    chunked = stream(headers="transfer-encoding: chunked\r\n")
    body = (START + HELLO + end()).encode()
    torn = chunked + b"%x\r\n" % len(body) + body + b"\r\n"  # the chunk that ends the body never comes
    for then in ("close", "open"):
        turn = (await connect(await wire(torn, then)).reason(ask(), None)).turn
        assert turn.text == "Hello"


async def test_windows_line_ends_are_line_ends(wire: Wire, connect: Connect):
    head, _, body = stream(START, HELLO, end()).partition(b"\r\n\r\n")
    answer = head + b"\r\n\r\n" + body.replace(b"\n", b"\r\n")
    assert (await connect(await wire(answer)).reason(ask(), None)).turn.text == "Hello"


MALFORMED = {
    "out of order": stream(START, block(1, TEXT), end()),
    "delta of no block": stream(
        START, event("content_block_delta", index=4, delta={"type": "text_delta", "text": "x"})
    ),
    "no start": stream(HELLO, end()),
    "no usage": stream(START, HELLO, event("message_delta", delta={"stop_reason": "end_turn"}), event("message_stop")),
    "no stop reason": stream(START, HELLO, end(None)),
    "no message_stop": stream(
        START, HELLO, event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
    ),
    "unfinished last event": stream(START, HELLO, end()[:-1]),
    "not JSON": stream(START, "event: content_block_start\ndata: {\n\n"),
    "not UTF-8": stream(START) + b'event: content_block_start\ndata: {"a":"\xff"}\n\n',
    "data without event names": stream(*(part.partition("\n")[2] for part in (START, end()))),
    "tool arguments are no object": stream(START, tool("[1]"), end("tool_use")),
    "tool arguments are no JSON": stream(START, tool('{"a": NaN}'), end("tool_use")),
    "tool arguments are cut though the model was done": stream(START, tool('{"a": 1'), end("tool_use")),
    "too deep": stream(START, tool("[" * 100_000), end("tool_use")),
    "not a stream": stream("{}", content_type="application/json"),
    "broken gzip": stream("not gzip", headers="content-encoding: gzip\r\n"),
    "error event without JSON": stream(START, "event: error\ndata: oops\n\n"),
    "no HTTP": b"nonsense\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", list(MALFORMED))
async def test_a_malformed_answer_is_a_provider_that_is_unwell(wire: Wire, connect: Connect, name: str):
    with pytest.raises(e.ProviderUnavailable) as caught:
        await connect(await wire(MALFORMED[name])).reason(ask(), None)
    assert caught.value.__context__ is None
    assert caught.value.request_id == (None if name in ("no HTTP", "nothing") else "req_wire")
