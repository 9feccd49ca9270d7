"""A line of a batch's results becomes the same turn as a stream would have, character by character."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.batch import ItemState
from agentfleet.domain.errors import ProviderError, ProviderOverloaded, ProviderRejected, ProviderUnavailable
from agentfleet.provider.batch_result import read_line, read_result
from agentfleet.provider.spans import elements, members

DAY = date(2026, 11, 21)
USAGE = {"input_tokens": 1_000_000, "output_tokens": 100_000, "service_tier": "batch"}


def line(content: str, *, stop_reason: str = '"end_turn"', usage: dict | None = None) -> str:
    """A succeeded line whose content is written as given."""
    message = (
        f'{{"id": "msg_1", "model": "claude-sonnet-5-5", "content" : {content}, "stop_reason": {stop_reason},'
        f' "usage": {json.dumps(usage or USAGE)}}}'
    )
    return f'{{"custom_id": "a_0", "result": {{"type": "succeeded", "message": {message}}}}}'


def errored(kind: str) -> str:
    error = {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_7"}
    return json.dumps({"custom_id": "a_0", "result": {"type": "errored", "error": error}})


def test_content_and_arguments_are_kept_as_they_were_written() -> None:
    arguments = '{ "amount" : 1.50, "big":123456789012345678901, "text":"\\u00e9\\ud83d\\ude00" }'
    content = (
        f'[ {{"type":"text","text":"a\\u2028b"}} ,{{"type":"tool_use","id":"t1","name":"pay","input":{arguments}}}]'
    )
    turn = read_result(line(content, stop_reason='"tool_use"'), DAY).turn
    assert turn.content == content
    assert [use.arguments for use in turn.tool_uses] == [arguments]
    assert (turn.text, turn.stop_reason) == ("a\u2028b", "tool_use")


def test_half_a_surrogate_pair_is_replaced_as_nobody_could_store_it() -> None:
    turn = read_result(line('[{"type":"text","text":"x\\ud83d"}]'), DAY).turn
    assert turn.content == '[{"type":"text","text":"x\ufffd"}]'
    assert turn.text == "x\ufffd"


def test_a_batch_costs_half() -> None:
    reasoned = read_result(line("[]"), DAY)
    assert reasoned.usage.cost_usd == (Decimal(2) + Decimal(1)) / 2
    assert json.loads(reasoned.usage_raw) == USAGE


def test_a_batch_costs_half_even_if_its_usage_does_not_say_so() -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0, "service_tier": None}
    assert read_result(line("[]", usage=usage), DAY).usage.cost_usd == 1


@pytest.mark.parametrize(
    ("kind", "state", "error"),
    [
        ("invalid_request_error", ItemState.FAILED, ProviderRejected),
        ("not_found_error", ItemState.FAILED, ProviderRejected),
        ("request_too_large", ItemState.FAILED, ProviderError),
        ("api_error", ItemState.SPILLED, ProviderUnavailable),
        ("overloaded_error", ItemState.SPILLED, ProviderOverloaded),
        ("billing_error", ItemState.SPILLED, ProviderError),
        ("nobody_knows_error", ItemState.SPILLED, ProviderError),
    ],
)
def test_only_a_refusal_of_the_request_itself_is_final(kind: str, state: ItemState, error: type) -> None:
    assert read_line(errored(kind)) == ("a_0", state)
    with pytest.raises(error, match="no") as caught:
        read_result(errored(kind), DAY)
    assert caught.value.request_id == "req_7"


@pytest.mark.parametrize("outcome", ["expired", "canceled", "something_new"])
def test_what_was_not_answered_is_called_for_directly(outcome: str) -> None:
    assert read_line(json.dumps({"custom_id": "b", "result": {"type": outcome}})) == ("b", ItemState.SPILLED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"custom_id":"a","result":{}}',
        line('"text"'),
        line("[1]"),
        line("[]", stop_reason="null"),
        line('[{"type":"tool_use","id":"t","name":"n","input":"x"}]'),
    ],
)
def test_a_malformed_line_is_an_error_of_the_provider(text: str) -> None:
    with pytest.raises(ProviderUnavailable, match="malformed"):
        read_result(text, DAY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(), JSON, max_size=4), indent=st.sampled_from([None, 1]))
def test_spans_hold_the_values_of_an_object(value: dict, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert {key: json.loads(text[start:end]) for key, (start, end) in members(text).items()} == value


@given(value=st.lists(JSON, max_size=4), indent=st.sampled_from([None, 1]))
def test_spans_hold_the_values_of_a_list(value: list, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert [json.loads(text[start:end]) for start, end in elements(text)] == value
