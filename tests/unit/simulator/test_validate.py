"""Requests the service refuses, and the words it refuses them with."""

from typing import Any

import pytest

from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.validate import check_request, parse


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def use(id_: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "look", "input": {}}


def result(id_: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": "seen"}


HI = {"type": "text", "text": "hi"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}


def request(**more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [user(HI)], **more}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 999_999_999}, "maximum allowed number of output tokens"),
        ({"model": None}, "model: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "Unexpected role"),
        ({"messages": [assistant(HI)]}, "first message must use the user role"),
        ({"messages": [user()]}, "non-empty content"),
        ({"messages": [user({"type": "text", "text": ""})]}, "text content blocks must be non-empty"),
        ({"messages": [user(HI), assistant(), user(HI)]}, "non-empty content"),
        ({"messages": [user(HI), assistant(use("a")), user(HI)]}, "without `tool_result` blocks immediately after: a"),
        ({"messages": [user(HI), assistant(use("a"))]}, "without `tool_result`"),
        ({"messages": [user(HI), assistant(use("a"), use("b")), user(result("a"))]}, "immediately after: b"),
        ({"messages": [user(HI), assistant(use("a")), user(result("a"), result("b"))]}, "unexpected `tool_use_id`"),
        ({"messages": [user(HI), assistant(use("a")), user(result("a"), result("a"))]}, "single result"),
        ({"messages": [user(HI), assistant(use("a")), user(HI, result("a"))]}, "must come first"),
        ({"messages": [user(HI), assistant(use("a"), use("a")), user(result("a"))]}, "ids must be unique"),
        (
            {"messages": [user(HI), assistant(use("a")), user(result("a")), assistant(use("a")), user(result("a"))]},
            "ids must be unique",
        ),
        ({"messages": [user(result("a"))]}, "unexpected `tool_use_id`"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tools": [{"name": "no spaces please", "input_schema": {"type": "object"}}]}, "invalid tool name"),
        ({"tools": [{"name": "look"}]}, "input_schema"),
        ({"tool_choice": {"type": "any"}}, "while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "see"}}, "not found in provided tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, 'use "adaptive"'),
        (
            {"model": "claude-opus-4-6", "thinking": {"type": "enabled", "budget_tokens": 9}, "max_tokens": 2000},
            "greater than or equal to 1024",
        ),
        ({"model": "claude-opus-4-6", "thinking": {"type": "enabled", "budget_tokens": 2000}}, "must be greater"),
    ],
)
def test_a_wrong_request_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as raised:
        check_request(request(**changes))
    assert raised.value.status == 400
    assert message in raised.value.message


@pytest.mark.parametrize(
    "messages",
    [
        [user(HI), assistant(use("a"), use("b")), user(result("b"), result("a"), HI)],
        [user(HI), assistant(use("a")), user(result("a")), assistant(use("b")), user(result("b"))],
        [user(HI), assistant(use("a"), use("b")), user(result("a")), user(result("b"))],
        [user(HI), assistant(HI)],
        [user(HI), assistant()],
        [{"role": "user", "content": "hi"}, {"role": "system", "content": "Be brief."}],
    ],
)
def test_a_right_history_is_accepted(messages: list[Any]) -> None:
    assert check_request(request(messages=messages)).id == "claude-sonnet-5-5"


def test_counting_needs_no_max_tokens() -> None:
    body = request()
    del body["max_tokens"]
    check_request(body, counting=True)


def test_a_dated_model_id_names_its_base_model() -> None:
    assert check_request(request(model="claude-haiku-4-5-20251001")).id == "claude-haiku-4-5"


@pytest.mark.parametrize(("raw", "status"), [(b"{", 400), (b"[]", 400), (b'"x"', 400), (b"x" * 11, 413)])
def test_a_body_that_is_no_small_object_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(ApiError) as raised:
        parse(raw, 10)
    assert raised.value.status == status
