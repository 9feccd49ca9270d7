import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agentfleet.domain.model import Bundle, Message
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.body import FIVE_MINUTES, HOUR, cache_ttl, request_body, shared_prefix

SPEC = {
    "model": "m",
    "instructions": "",
    "tools": [],
    "output_schema": None,
    "thinking": None,
    "effort": None,
    "cache": False,
}
ODD = '[ {"type":"tool_use","input":{"z":1e2,"a":"\\u00e4 ä", "n":123456789012345678901234567890}} ]'


MARK = ',"cache_control":{"type":"ephemeral"}'
HOUR_MARK = ',"cache_control":{"type":"ephemeral","ttl":"1h"}'


def asked(*conversation: Message, **changes: Any) -> ReasonRequest:
    bundle = Bundle("b", "a", {**SPEC, **changes})
    return ReasonRequest(bundle, conversation, 99, "r", "s", bundle.spec["model"])


def body(*conversation: Message, **changes: Any) -> str:
    return request_body(asked(*conversation, **changes)).decode()


def talk(turns: int, parts: int = 1) -> list[Message]:
    """A user and a model in turns, whose users' turns have ``parts`` parts with two blocks each."""
    return [
        Message(turn, part, ("user", "assistant")[turn % 2], f'[ {ODD[1:-1]}, {{ "n": {turn}.{part} }} ]')
        for turn in range(turns)
        for part in range(1 if turn % 2 else parts)
    ]


def test_what_was_stored_is_sent_byte_for_byte():
    assert ODD[1:-1].strip() in body(Message(0, 0, "user", "[]"), Message(1, 0, "assistant", ODD))


def test_a_longer_conversation_only_appends():
    conversation = talk(6)
    bodies = [body(*conversation[:length]) for length in range(1, 7)]
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter[: -len("]}")])


@pytest.mark.parametrize("prompt_age", [None, 3.0, 300.0])
@pytest.mark.parametrize("parts", [1, 40])
@pytest.mark.parametrize("turns", [1, 2, 3, 8])
def test_marks_change_no_byte_of_what_was_said(turns: int, parts: int, prompt_age: float | None):
    bare = asked(*talk(turns, parts))
    marked = replace(asked(*talk(turns, parts), cache=True), prompt_age=prompt_age)
    mark = HOUR_MARK if prompt_age == 300.0 else MARK
    sent = request_body(marked).decode()
    assert sent.count(mark) == min(2, (turns + 1) // 2)
    assert sent.replace(mark, "") == request_body(bare).decode()


def test_the_mark_of_the_last_call_is_marked_again_however_much_was_said_since():
    sent = json.loads(body(*talk(7, parts=40), cache=True))["messages"]
    marked = [
        (turn, len(said["content"]) - 1) for turn, said in enumerate(sent) if "cache_control" in said["content"][-1]
    ]
    assert marked == [(4, 79), (6, 79)]
    assert sum("cache_control" in block for said in sent for block in said["content"]) == 2


def test_a_turn_of_the_model_is_never_marked():
    paused = [*talk(3), Message(3, 0, "assistant", ODD), Message(4, 0, "assistant", ODD)]
    sent = json.loads(body(*paused, cache=True))["messages"]
    assert [said["role"] for said in sent if "cache_control" in said["content"][-1]] == ["user", "user"]


@pytest.mark.parametrize(
    ("age", "lane", "ttl"),
    [
        (None, None, FIVE_MINUTES),
        (1.0, None, FIVE_MINUTES),
        (240.0, None, FIVE_MINUTES),
        (241.0, None, HOUR),
        (3_599.0, None, HOUR),
        (3_600.0, None, FIVE_MINUTES),  # an hour would be over, too
        (None, "batch", HOUR),
    ],
)
def test_a_run_that_waits_long_pays_for_an_hour(age: float | None, lane: str | None, ttl: int):
    request = replace(asked(*talk(3), cache=True, instructions="Hi."), prompt_age=age, lane=lane)
    assert cache_ttl(request) == ttl
    sent = request_body(request).decode()
    assert (sent.count(HOUR_MARK), sent.count(MARK)) == ((3, 0) if ttl == HOUR else (0, 3))


def test_an_agent_that_wants_no_cache_gets_no_mark_however_long_it_waits():
    request = replace(asked(*talk(3), tools=[{"name": "look"}], instructions="Hi."), prompt_age=300.0, lane="batch")
    assert cache_ttl(request) is None
    assert "cache_control" not in request_body(request).decode()


def test_without_instructions_the_last_tool_is_marked():
    tools = [{"name": "look"}, {"name": "book"}]
    sent = json.loads(body(*talk(1), cache=True, tools=tools))
    assert sent["tools"] == [tools[0], {**tools[1], "cache_control": {"type": "ephemeral"}}]
    assert tools[1] == {"name": "book"}


def test_the_shared_prefix_is_that_of_the_bundle_and_the_model():
    one, other = asked(*talk(1), instructions="Hi."), asked(*talk(5), instructions="Hi.", cache=True)
    assert shared_prefix(one) == shared_prefix(replace(other, prompt_age=300.0, max_tokens=7, run_id="x"))
    assert shared_prefix(one) != shared_prefix(replace(one, model="other"))
    assert shared_prefix(one) != shared_prefix(asked(*talk(1), instructions="Ho."))
    assert shared_prefix(one) != shared_prefix(asked(*talk(1), instructions="Hi.", tools=[{"name": "look"}]))


def test_parts_of_a_turn_become_one_message_in_order():
    parts = [Message(2, part, "user", f'[{{"n":{part}}}]') for part in range(3)]
    sent = json.loads(body(Message(0, 0, "user", '[{"n":9}]'), *parts))
    assert sent["messages"] == [
        {"role": "user", "content": [{"n": 9}]},
        {"role": "user", "content": [{"n": 0}, {"n": 1}, {"n": 2}]},
    ]


def test_turns_that_say_nothing_are_left_out():
    empty = [Message(1, 0, "assistant", "[]"), Message(3, 0, "assistant", '[{"type":"text","text":""}]')]
    sent = json.loads(body(Message(0, 0, "user", '[{"n":9}]'), *empty))
    assert len(sent["messages"]) == 1


def test_the_head_holds_what_the_bundle_pins_and_nothing_else():
    assert json.loads(body()) == {"model": "m", "max_tokens": 99, "stream": True, "messages": []}
    full = {
        "instructions": "Bé brief.",
        "tools": [{"name": "look"}],
        "thinking": "adaptive",
        "effort": "low",
        "output_schema": {"type": "object"},
        "cache": True,
    }
    assert json.loads(body(**full)) == {
        "model": "m",
        "max_tokens": 99,
        "stream": True,
        "system": [{"type": "text", "text": "Bé brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "look"}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "messages": [],
    }
