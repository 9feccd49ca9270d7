"""Whole conversations with the brains."""

import json
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from tests.integration.simulator.talk import LOOK, altered, ask, blocks, converse, say

TOOLS = [{**LOOK, "name": name} for name in ("north", "east", "south", "west", "up")]


def called(message: Any) -> list[str]:
    return [block.name for block in message.content if block.type == "tool_use"]


async def test_five_tools_are_called_once_each_three_then_two(client: anthropic.AsyncAnthropic) -> None:
    said = await converse(client, lambda name, _: {"seen": name}, **ask(tools=TOOLS))
    assert [called(message) for message in said] == [["north", "east", "south"], ["west", "up"], []]
    assert said[-1].stop_reason == "end_turn"
    assert "up returned" in said[-1].content[0].text


async def test_without_parallel_use_tools_come_one_by_one(client: anthropic.AsyncAnthropic) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    said = await converse(client, lambda *_: 1, **ask(tools=TOOLS[:3], tool_choice=choice))
    assert [called(message) for message in said] == [["north"], ["east"], ["south"], []]


async def test_no_tool_is_called_when_none_may_be(client: anthropic.AsyncAnthropic) -> None:
    message = await say(client, **ask(tools=TOOLS, tool_choice={"type": "none"}))
    assert message.stop_reason == "end_turn"


async def test_a_forced_tool_is_called_and_some_models_refuse_the_force(client: anthropic.AsyncAnthropic) -> None:
    choice = {"type": "tool", "name": "west"}
    assert called(await say(client, **ask(tools=TOOLS, tool_choice=choice))) == ["west"]
    with pytest.raises(anthropic.BadRequestError, match="tool_choice"):
        await say(client, **ask(tools=TOOLS, tool_choice=choice, model="claude-opus-5-5"))


async def test_a_failing_tool_is_tried_twice_and_no_more(client: anthropic.AsyncAnthropic) -> None:
    def fail(_: str, __: dict[str, Any]) -> Any:
        raise RuntimeError("out of order")

    said = await converse(client, fail, **ask(tools=[LOOK]))
    assert [called(message) for message in said] == [["look"], ["look"], []]
    assert "failed with out of order" in said[-1].content[0].text


async def test_a_new_question_calls_the_tools_again(client: anthropic.AsyncAnthropic) -> None:
    request = ask("Look at the door.", tools=[LOOK])
    said = await converse(client, lambda *_: 1, **request)
    history = [
        *request["messages"],
        {"role": "assistant", "content": blocks(said[0])},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": said[0].content[0].id, "content": "1"}]},
        {"role": "assistant", "content": blocks(said[1])},
        {"role": "user", "content": "And at the window?"},
    ]
    assert called(await say(client, **altered(request, messages=history))) == ["look"]


async def test_arguments_come_from_the_users_json(client: anthropic.AsyncAnthropic) -> None:
    refund = {
        "name": "refund",
        "input_schema": {
            "type": "object",
            "properties": {
                "order_id": {"type": "string"},
                "amount_cents": {"type": "integer", "minimum": 1},
                "reason": {"enum": ["broken", "late"]},
            },
            "required": ["order_id", "amount_cents", "reason"],
        },
    }
    text = json.dumps({"order": {"orderId": "A-17", "amount_cents": 450}, "reason": "late"})
    message = await say(client, **ask(text, tools=[refund]))
    assert message.content[0].input == {"order_id": "A-17", "amount_cents": 450, "reason": "late"}


class Found(BaseModel):
    place: str
    count: int
    note: str | None
    tags: list[str]


async def test_a_requested_document_parses_and_holds_what_the_tools_said(client: anthropic.AsyncAnthropic) -> None:
    schema = anthropic.transform_schema(Found)
    request = ask("Look.", tools=[LOOK], output_config={"format": {"type": "json_schema", "schema": schema}})
    said = await converse(client, lambda *_: {"place": "cellar", "count": 3}, **request)
    document = Found.model_validate_json(said[-1].content[0].text)
    assert (document.place, document.count) == ("cellar", 3)


AUDIT_TOOLS = [
    {
        "name": name,
        "input_schema": {
            "type": "object",
            "properties": {"distribution": {"type": "string"}},
            "required": ["distribution"],
        },
    }
    for name in ("read_metadata", "list_files", "declared_requirements", "find_license", "total_size")
]


def audit(said: dict[str, Any]) -> Any:
    facts = {
        "read_metadata": {"name": "requests", "version": "2.32.0", "summary": "HTTP for Humans.", "license": None},
        "list_files": {"count": 41, "sample": ["requests/api.py"]},
        "declared_requirements": {"requirements": ["idna", "certifi"], "missing": []},
        "find_license": {"license": "Apache-2.0", "source": "metadata"},
        "total_size": {"bytes": 200_000},
    }
    return lambda name, _: {**facts, **said}[name]


@pytest.mark.parametrize("text", ['{"distribution": "requests"}', "requests", "Please audit requests."])
async def test_the_audit_reads_metadata_then_the_rest_in_parallel(client: anthropic.AsyncAnthropic, text: str) -> None:
    said = await converse(client, audit({}), **ask(text, tools=AUDIT_TOOLS, system="You do a dependency audit."))
    assert [sorted(called(message)) for message in said] == [
        ["read_metadata"],
        ["declared_requirements", "find_license", "list_files", "total_size"],
        [],
    ]
    assert all(
        block.input == {"distribution": "requests"}
        for message in said
        for block in message.content
        if block.type == "tool_use"
    )
    assert json.loads(said[-1].content[0].text) == {
        "distribution": "requests",
        "version": "2.32.0",
        "license": "Apache-2.0",
        "size_bytes": 200_000,
        "file_count": 41,
        "requirements": ["idna", "certifi"],
        "missing_requirements": [],
        "risk": "low",
        "why": "It has a license, its requirements are installed and it is small.",
    }


@pytest.mark.parametrize(
    ("said", "risk"),
    [
        ({"find_license": {"license": None}}, "medium"),
        ({"declared_requirements": {"requirements": ["idna"], "missing": ["idna"]}}, "medium"),
        ({"total_size": {"bytes": 60 * 1024 * 1024}}, "medium"),
        ({"find_license": {"license": None}, "declared_requirements": {"missing": ["idna"]}}, "high"),
    ],
)
async def test_the_audit_rates_the_risk(client: anthropic.AsyncAnthropic, said: dict[str, Any], risk: str) -> None:
    request = ask("requests", tools=AUDIT_TOOLS, system="Dependency audit agent.")
    report = json.loads((await converse(client, audit(said), **request))[-1].content[0].text)
    assert report["risk"] == risk
    assert report["why"].endswith(".")


async def test_an_audit_whose_tools_fail_still_reports(client: anthropic.AsyncAnthropic) -> None:
    def fail(_: str, __: dict[str, Any]) -> Any:
        raise RuntimeError("not installed")

    request = ask("requests", tools=AUDIT_TOOLS, system="Dependency audit agent.")
    report = json.loads((await converse(client, fail, **request))[-1].content[0].text)
    assert (report["distribution"], report["version"], report["license"]) == ("requests", "unknown", None)
