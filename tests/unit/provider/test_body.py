import json
from itertools import pairwise

from agentfleet.domain.model import Bundle, Message
from agentfleet.engine.ports import ReasonRequest
from agentfleet.provider.body import request_body

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


def body(*conversation: Message, **changes) -> str:
    bundle = Bundle("b", "a", {**SPEC, **changes})
    return request_body(ReasonRequest(bundle, conversation, 99, "r", "s", bundle.spec["model"])).decode()


def test_what_was_stored_is_sent_byte_for_byte():
    assert ODD[1:-1].strip() in body(Message(0, 0, "user", "[]"), Message(1, 0, "assistant", ODD))


def test_a_longer_conversation_only_appends():
    conversation = [Message(turn, 0, ("user", "assistant")[turn % 2], ODD) for turn in range(6)]
    bodies = [body(*conversation[:length]) for length in range(1, 7)]
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter[: -len("]}")])


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
        "system": "Bé brief.",
        "tools": [{"name": "look"}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "cache_control": {"type": "ephemeral"},
        "messages": [],
    }
